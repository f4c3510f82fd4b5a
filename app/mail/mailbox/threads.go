package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/message"
)

const (
	maxItems     = 2000     // that are shown of a conversation, with copies in several folders
	maxSummaries = 32 << 20 // bytes, of the conversations of a page
	maxThread    = 200      // messages of a conversation; the next one begins another
	maxParents   = 20       // messages that one names as those before it
	threadBatch  = 500      // contents in a transaction
	maxSnippet   = 160      // characters
)

// threadOf returns the conversation of an account that a message belongs to: that of the messages that it names, and of those
// that name it, or a new one. Where these are several that fit into one, they are from now on.
func threadOf(ctx context.Context, tx *sql.Tx, account string, names []string) (thread int64, err error) {
	var found []int64
	for _, name := range names {
		other, err := column[int64](ctx, tx, `SELECT thread FROM mail_threads WHERE account = ? AND message_id = ?`, account, name)
		if err != nil {
			return 0, err
		}
		found = append(found, other...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	room := maxThread - 1
	for _, other := range found {
		var size int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM mail_contents WHERE thread = ?`, other).Scan(&size); err != nil {
			return 0, err
		}
		if size > room {
			continue
		}
		room -= size
		if thread == 0 {
			thread = other
			continue
		}
		for _, table := range []string{"mail_contents", "mail_threads"} {
			if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET thread = ? WHERE thread = ?`, thread, other); err != nil {
				return 0, err
			}
		}
	}
	if thread == 0 {
		thread = newThread()
	}
	return thread, nil
}

// newThread returns a number that no conversation has: the time, as numbers that grow cost an index the least, and
// some chance.
func newThread() int64 { return time.Now().UnixMicro()<<10 | rand.Int64N(1<<10) }

// nameThread has messages that name one of the names, or are so named, belong to a conversation.
func nameThread(ctx context.Context, tx *sql.Tx, account string, thread int64, names []string) error {
	for _, name := range names {
		_, err := tx.ExecContext(ctx, `INSERT INTO mail_threads (account, message_id, thread) VALUES (?, ?, ?) ON CONFLICT (account, message_id) DO UPDATE SET thread = excluded.thread`,
			account, name, thread)
		if err != nil {
			return err
		}
	}
	return nil
}

// named returns the IDs of a message and of those before it, the last ones of many.
func named(m *message.Message) []string {
	parents := m.References
	if n := len(parents); n > maxParents {
		parents = append([]string{parents[0]}, parents[n-maxParents+1:]...)
	}
	if replied := m.Envelope.InReplyTo; len(replied) > 0 {
		parents = append(parents[:len(parents):len(parents)], replied[0])
	}
	names := make([]string, 0, len(parents)+1)
	for _, name := range append([]string{m.Envelope.MessageID}, parents...) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// threadAll puts messages into conversations that are in none yet. They come with a conversation of their own, below 0, so that
// their delivery does not wait for this.
func (s *Store) threadAll(ctx context.Context) error {
	for more := true; more; {
		waits := false
		err := s.store.View(ctx, func(tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM mail_contents WHERE thread < 0)`).Scan(&waits)
		})
		if err != nil || !waits {
			return err
		}
		err = s.store.Update(ctx, func(tx *sql.Tx) (err error) {
			more, err = threadSome(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// threadRest puts together what is left before a conversation is shown. Where that cannot be, such as on a full disk, messages stand alone.
func (s *Store) threadRest(ctx context.Context) error {
	if err := s.threadAll(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("conversations cannot be put together", "err", err)
	}
	return ctx.Err()
}

func threadSome(ctx context.Context, tx *sql.Tx) (more bool, err error) {
	type lone struct {
		content int64
		account string
		summary []byte
	}
	rows, err := tx.QueryContext(ctx, `SELECT c.id, c.summary,
		coalesce((SELECT f.account FROM mail_messages m JOIN mail_folders f ON f.id = m.folder WHERE m.content = c.id LIMIT 1), '')
		FROM mail_contents c WHERE c.thread < 0 ORDER BY c.thread DESC LIMIT ?`, threadBatch)
	if err != nil {
		return false, err
	}
	var batch []lone
	for rows.Next() {
		var l lone
		if err := rows.Scan(&l.content, &l.summary, &l.account); err != nil {
			rows.Close()
			return false, err
		}
		batch = append(batch, l)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return false, err
	}
	for _, l := range batch {
		var m message.Message
		var names []string
		files := 0
		if err := m.UnmarshalBinary(l.summary); err == nil {
			names, files = named(&m), m.Root.Attachments()
		}
		at, err := threadOf(ctx, tx, l.account, names)
		if err != nil {
			return false, err
		}
		if err := nameThread(ctx, tx, l.account, at, names); err != nil {
			return false, err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE mail_contents SET thread = ?, files = ? WHERE id = ?`, at, files, l.content); err != nil {
			return false, err
		}
	}
	return len(batch) == threadBatch, nil
}

// snippet returns the first words that are new in the text of a message.
func snippet(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, ">") || line == "--" {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(word)
		}
		if b.Len() > 4*maxSnippet {
			break
		}
	}
	short := b.String()
	if utf8.RuneCountInString(short) > maxSnippet {
		short = string([]rune(short)[:maxSnippet])
	}
	return short
}

// An Item is a message as lists and conversations show it.
type Item struct {
	Message
	Folder  int64
	Content int64 // which copies of the message share; of this host, never used again
	Thread  int64
	Files   int // that are attached
	Snippet string

	bare bool // it has a snippet that is not stored
}

const itemColumns = `m.uid, m.flags, m.keywords, m.modseq, m.received, m.zone, m.size, c.blob, c.summary, m.folder, c.id, c.thread, c.files, c.snippet`

// items reads what a query for itemColumns finds.
func (s *Store) items(ctx context.Context, query string, args ...any) (list []Item, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+itemColumns+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i Item
			var text sql.NullString
			if err := i.scan(rows, true, &i.Folder, &i.Content, &i.Thread, &i.Files, &text); err != nil {
				return err
			}
			i.Snippet, i.bare = text.String, !text.Valid
			list = append(list, i)
		}
		return rows.Err()
	})
	return list, err
}

// A Cursor is a place in a folder's list, which has what came last first. The zero Cursor is its beginning.
type Cursor struct {
	Received int64 // Unix time
	UID      int64
}

// Conversations returns those of a folder after a cursor, at most limit: of each the messages in all folders of the account, the
// oldest first, and where the list goes on, the zero Cursor at its end. A conversation stands where its last message of that folder
// does. Messages that are marked as deleted are not shown.
func (s *Store) Conversations(ctx context.Context, folder int64, after Cursor, limit int) (list [][]Item, next Cursor, err error) {
	if err := s.threadRest(ctx); err != nil {
		return nil, next, err
	}
	seen, size := make(map[int64]bool), 0
	if after == (Cursor{}) {
		after = Cursor{1<<63 - 1, 1<<63 - 1}
	}
	for batch := 4 * limit; ; {
		places, threads, err := s.places(ctx, folder, after, batch)
		if err != nil {
			return nil, next, err
		}
		for i, thread := range threads {
			after = places[i]
			if seen[thread] {
				continue
			}
			seen[thread] = true
			all, err := s.items(ctx, ` FROM mail_contents c CROSS JOIN mail_messages m ON m.content = c.id
				WHERE c.thread = ? AND m.flags & 8 = 0 ORDER BY m.received, c.id LIMIT ?`, thread, maxItems)
			if err == nil && len(all) == maxItems { // somebody has copied one very often: the message alone
				all, err = s.items(ctx, ` FROM mail_messages m JOIN mail_contents c ON c.id = m.content WHERE m.folder = ? AND m.uid = ?`, folder, places[i].UID)
			}
			if err != nil {
				return nil, next, err
			}
			last := lastIn(all, folder)
			if last == nil || last.place() != after {
				continue // it has its place further up
			}
			if len(list) == limit {
				return list, next, nil
			}
			if err := s.describe(ctx, last); err != nil {
				return nil, next, err
			}
			list, next = append(list, all), after
			for i := range all {
				size += len(all[i].Summary)
			}
			if size > maxSummaries {
				return list, next, nil
			}
		}
		if len(places) < batch {
			return list, Cursor{}, nil
		}
	}
}

func (i *Item) place() Cursor { return Cursor{i.Received.Unix(), int64(i.UID)} }

// lastIn returns the message of a conversation that came last into a folder, nil where none did.
func lastIn(all []Item, folder int64) (last *Item) {
	for i := range all {
		at := all[i].place()
		if all[i].Folder == folder && (last == nil || at.Received > last.place().Received || at.Received == last.place().Received && at.UID > last.place().UID) {
			last = &all[i]
		}
	}
	return last
}

// places returns where a folder's messages stand, and their conversations.
func (s *Store) places(ctx context.Context, folder int64, after Cursor, limit int) (places []Cursor, threads []int64, err error) {
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT m.received, m.uid, c.thread FROM mail_messages m INDEXED BY mail_messages_received CROSS JOIN mail_contents c ON c.id = m.content
			WHERE m.folder = ? AND (m.received, m.uid) < (?, ?) AND m.flags & 8 = 0 ORDER BY m.received DESC, m.uid DESC LIMIT ?`,
			folder, after.Received, after.UID, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var at Cursor
			var thread int64
			if err := rows.Scan(&at.Received, &at.UID, &thread); err != nil {
				return err
			}
			places, threads = append(places, at), append(threads, thread)
		}
		return rows.Err()
	})
	return places, threads, err
}

// Conversation returns the messages of the conversation that a content of an account is in, in all folders, the oldest first. It
// fails with kind NotFound.
func (s *Store) Conversation(ctx context.Context, account string, content int64) ([]Item, error) {
	if err := s.threadRest(ctx); err != nil {
		return nil, err
	}
	list, err := s.items(ctx, ` FROM mail_contents c CROSS JOIN mail_messages m ON m.content = c.id JOIN mail_folders f ON f.id = m.folder
		WHERE c.thread = (SELECT thread FROM mail_contents WHERE id = ?) AND f.account = ? AND m.flags & 8 = 0 ORDER BY m.received, c.id LIMIT ?`, content, account, maxItems)
	return list, missing(list, err)
}

// Content returns the messages of an account that share a content, one in each folder that has it. It fails with kind
// NotFound.
func (s *Store) Content(ctx context.Context, account string, content int64) ([]Item, error) {
	list, err := s.items(ctx, ` FROM mail_contents c CROSS JOIN mail_messages m ON m.content = c.id JOIN mail_folders f ON f.id = m.folder
		WHERE c.id = ? AND f.account = ? ORDER BY m.folder LIMIT ?`, content, account, maxItems)
	return list, missing(list, err)
}

// Describe reads the first words of messages that have none stored.
func (s *Store) Describe(ctx context.Context, list []Item) error {
	for i := range list {
		if err := s.describe(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func missing(list []Item, err error) error {
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("there is no such message: %w", kith.NotFound)
	}
	return err
}

// Named returns the messages of an account that have a Message-ID, at most 100.
func (s *Store) Named(ctx context.Context, account, messageID string) ([]Item, error) {
	return s.items(ctx, ` FROM mail_contents c CROSS JOIN mail_messages m ON m.content = c.id JOIN mail_folders f ON f.id = m.folder
		WHERE c.message_id = ? AND c.message_id <> '' AND f.account = ? LIMIT 100`, messageID, account)
}

// describe reads a snippet that is not stored: of a message from before there were any, or that has only just come.
func (s *Store) describe(ctx context.Context, i *Item) error {
	if !i.bare {
		return nil
	}
	var m message.Message
	if err := m.UnmarshalBinary(i.Summary); err != nil {
		return err
	}
	text, err := s.Text(ctx, &m, i.Blob, 16*maxSnippet)
	if errors.Is(err, kith.NotFound) {
		err = nil // expunged in the meantime
	}
	i.Snippet, i.bare = snippet(text), false
	return err
}

// Find returns messages of folders that meet criteria, and have files where that is asked for: what came last first, at most limit, and
// whether there are more. It fails as Search does.
func (s *Store) Find(ctx context.Context, folders []int64, criteria *imap.SearchCriteria, files bool, limit int) (list []Item, more bool, err error) {
	if err := s.indexRest(ctx); err != nil {
		return nil, false, err
	}
	order := `m.received DESC, m.uid DESC` // by an index, until there are enough
	if few, err := s.few(ctx, criteria); err != nil {
		return nil, false, err
	} else if few {
		order = `+m.received DESC, +m.uid DESC` // by sorting what the index of words has
	}
	for _, folder := range folders {
		q := &query{ctx: ctx, store: s, folder: folder}
		where, err := q.all(criteria)
		if err != nil {
			return nil, false, err
		}
		if files {
			where += ` AND c.files > 0`
		}
		args := append([]any{folder}, q.args...)
		found, err := s.items(ctx, ` FROM mail_messages m CROSS JOIN mail_contents c ON c.id = m.content
			WHERE m.folder = ? AND m.flags & 8 = 0`+where+` ORDER BY `+order+` LIMIT ?`, append(args, limit+1)...)
		if err != nil {
			return nil, false, err
		}
		list = append(list, found...)
	}
	slices.SortStableFunc(list, func(a, b Item) int { return b.Received.Compare(a.Received) })
	if more = len(list) > limit; more {
		list = list[:limit]
	}
	return list, more, s.Describe(ctx, list)
}
