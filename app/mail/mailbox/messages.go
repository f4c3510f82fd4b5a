package mailbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/message"
)

// A Range is UIDs of a folder, both ends included.
type Range struct{ From, To imap.UID }

// A Delivery is a message on its way into a folder.
type Delivery struct {
	Blob     kith.Blob
	Parsed   *message.Message // as [Store.Parse] has it; nil: Deliver reads it, and all who write wait
	Flags    []imap.Flag
	Received time.Time // zero: now
	Notice   bool      // that a message did not arrive: a full account has room for some
}

// A Placed is where a message went.
type Placed struct {
	Folder  Folder // before
	UID     imap.UID
	Content int64 // see Item
}

// A Message is one in a folder.
type Message struct {
	UID      imap.UID
	Flags    []imap.Flag
	ModSeq   uint64
	Received time.Time
	Size     int64
	Blob     kith.BlobID
	Summary  []byte // for [message.Message.UnmarshalBinary]
}

// Parse reads a message that has been written. It takes as long as the message is large, so it
// is called before a transaction rather than within.
func (s *Store) Parse(ctx context.Context, blob kith.BlobID) (*message.Message, error) {
	r, err := s.blobs.Open(ctx, blob)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	parsed, err := message.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return parsed, nil
}

// Deliver puts a message into a folder of an account, which need not have folders yet, when tx
// commits. Those who look at the folder learn it then. Where a program has renamed or removed a standard folder, the
// one of its use is taken, or a new one. It fails with kind NotFound where there is no
// such folder, or no such blob; with Quota where the account is full; with Invalid for flags that
// are none.
func (s *Store) Deliver(ctx context.Context, tx *sql.Tx, account, name string, d Delivery) (Placed, error) {
	if err := prepare(ctx, tx, account); err != nil {
		return Placed{}, err
	}
	name, err := s.standing(ctx, tx, account, name)
	if err != nil {
		return Placed{}, err
	}
	placed, err := s.deliver(ctx, tx, account, name, d)
	if err == nil {
		s.mu.Lock()
		s.delivered[placed.Folder.ID] = true
		s.mu.Unlock()
		wake(s.marked)
	}
	return placed, err
}

// Append puts a message into a folder. It fails as Deliver does.
func (s *Store) Append(ctx context.Context, account, name string, d Delivery) (placed Placed, err error) {
	if d.Parsed == nil {
		if d.Parsed, err = s.Parse(ctx, d.Blob.ID); err != nil {
			return placed, err
		}
	}
	err = s.store.Update(ctx, func(tx *sql.Tx) (err error) {
		placed, err = s.deliver(ctx, tx, account, name, d)
		return err
	})
	if err == nil {
		s.changed(placed.Folder.ID)
		wake(s.pending)
	}
	return placed, err
}

func (s *Store) deliver(ctx context.Context, tx *sql.Tx, account, name string, d Delivery) (placed Placed, err error) {
	set, err := parseFlags(d.Flags)
	if err != nil {
		return placed, err
	}
	f, err := folder(ctx, tx, account, name)
	if err != nil {
		return placed, err
	}
	if err := s.room(ctx, tx, f, 1, d.Blob.Size, d.Notice); err != nil {
		return placed, err
	}
	if d.Parsed == nil {
		if d.Parsed, err = s.Parse(ctx, d.Blob.ID); err != nil {
			return placed, err
		}
	}
	if err := s.blobs.Keep(ctx, tx, d.Blob.ID); err != nil {
		return placed, err
	}
	summary, err := d.Parsed.MarshalBinary()
	if err != nil {
		return placed, err
	}
	sent := int64(0)
	if day := d.Parsed.SentDay(); !day.IsZero() {
		sent = day.Unix()
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO mail_contents (blob, size, message_id, sent, summary, files, thread) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		d.Blob.ID[:], d.Blob.Size, d.Parsed.Envelope.MessageID, sent, summary, d.Parsed.Root.Attachments(), -newThread())
	if err != nil {
		return placed, err
	}
	content, err := result.LastInsertId()
	if err != nil {
		return placed, err
	}
	uid, modseq, err := advance(ctx, tx, f.ID, 1)
	if err != nil {
		return placed, err
	}
	if d.Received.IsZero() {
		d.Received = now()
	}
	_, zone := d.Received.Zone()
	_, err = tx.ExecContext(ctx, `INSERT INTO mail_messages (folder, uid, content, flags, keywords, modseq, received, zone, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		f.ID, uid, content, set.system, set.keywords, modseq, d.Received.Unix(), zone, d.Blob.Size)
	return Placed{f, uid, content}, err
}

// What of an account's limit is there for notices alone, and what a message takes of it beside its bytes: copies share
// their bytes, but each has a place of its own.
const (
	noticePart  = 8
	perMessage  = 512
	minMessages = 1000
)

// room checks that a folder can take more.
func (s *Store) room(ctx context.Context, tx *sql.Tx, f Folder, messages int, bytes int64, notice bool) error {
	if int(f.Messages)+messages > s.limits.Messages {
		return fmt.Errorf("folder %.60q has %d messages, at most %d: %w", f.Name, f.Messages, s.limits.Messages, kith.Quota)
	}
	if int64(f.UIDNext)+int64(messages) >= 1<<32 {
		return fmt.Errorf("folder %.60q has had too many messages: %w", f.Name, kith.Quota)
	}
	used, places, err := usage(ctx, tx, f.Account)
	if err != nil {
		return err
	}
	limit := s.limits.Bytes
	if notice {
		limit += limit / noticePart
	}
	if used+bytes > limit {
		return fmt.Errorf("the messages of %s would have %d bytes, at most %d: %w", f.Account, used+bytes, limit, kith.Quota)
	}
	if all, most := places+int64(messages), max(limit/perMessage, minMessages); all > most {
		return fmt.Errorf("%s would have %d messages, at most %d: %w", f.Account, all, most, kith.Quota)
	}
	return nil
}

// advance raises a folder's MODSEQ, and takes count UIDs.
func advance(ctx context.Context, tx *sql.Tx, folder int64, count int) (first imap.UID, modseq uint64, err error) {
	var next int64
	err = tx.QueryRowContext(ctx, `UPDATE mail_folders SET modseq = modseq + 1, uid_next = uid_next + ? WHERE id = ? RETURNING uid_next, modseq`,
		count, folder).Scan(&next, &modseq)
	return imap.UID(next - int64(count)), modseq, err
}

// Messages returns at most limit messages of a folder whose UID is in a range, in ascending order, and less where their summaries
// are large; none where there are no more.
func (s *Store) Messages(ctx context.Context, folder int64, r Range, limit int, summaries bool) (list []Message, err error) {
	columns, source := `m.uid, m.flags, m.keywords, m.modseq, m.received, m.zone, m.size`, `mail_messages m`
	if summaries {
		columns, source = columns+`, c.blob, c.summary`, source+` CROSS JOIN mail_contents c ON c.id = m.content`
	}
	size := 0
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM `+source+` WHERE m.folder = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid LIMIT ?`,
			folder, r.From, r.To, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m Message
			if err := m.scan(rows, summaries); err != nil {
				return err
			}
			list = append(list, m)
			if size += len(m.Summary); size > maxSummaries {
				break
			}
		}
		return rows.Err()
	})
	return list, err
}

// scan reads a row whose first columns are those that Messages asks for, and others after the summary.
func (m *Message) scan(rows *sql.Rows, summary bool, others ...any) error {
	var set flagSet
	var received int64
	var zone int
	var blob []byte
	targets := []any{&m.UID, &set.system, &set.keywords, &m.ModSeq, &received, &zone, &m.Size}
	if summary {
		targets = append(append(targets, &blob, &m.Summary), others...)
	}
	if err := rows.Scan(targets...); err != nil {
		return err
	}
	m.Flags = set.list()
	m.Received = time.Unix(received, 0).In(time.FixedZone("", zone))
	copy(m.Blob[:], blob)
	return nil
}

// Expunge removes the messages in ranges that are marked as deleted, or all in them where force is set, and
// returns how many.
func (s *Store) Expunge(ctx context.Context, folder int64, ranges []Range, force bool) (count int, err error) {
	where := ` AND flags & 8`
	if force {
		where = ``
	}
	err = s.store.Update(ctx, func(tx *sql.Tx) error {
		count = 0
		var contents []int64
		var gone []imap.UID
		for _, r := range ranges {
			rows, err := tx.QueryContext(ctx, `DELETE FROM mail_messages WHERE folder = ? AND uid BETWEEN ? AND ?`+where+` RETURNING uid, content`, folder, r.From, r.To)
			if err != nil {
				return err
			}
			for rows.Next() {
				var uid imap.UID
				var content int64
				if err := rows.Scan(&uid, &content); err != nil {
					rows.Close()
					return err
				}
				gone, contents = append(gone, uid), append(contents, content)
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		count = len(gone)
		if count == 0 {
			return nil
		}
		if err := expunged(ctx, tx, folder, gone); err != nil {
			return err
		}
		return s.release(ctx, tx, contents)
	})
	if err == nil && count > 0 {
		s.changed(folder)
	}
	return count, err
}

// expunged notes that messages have left a folder.
func expunged(ctx context.Context, tx *sql.Tx, folder int64, gone []imap.UID) error {
	_, modseq, err := advance(ctx, tx, folder, 0)
	if err != nil {
		return err
	}
	note, err := tx.PrepareContext(ctx, `INSERT INTO mail_expunged (folder, modseq, uid) VALUES (?, ?, ?)`)
	if err != nil {
		return err
	}
	defer note.Close()
	for _, uid := range gone {
		if _, err := note.ExecContext(ctx, folder, modseq, uid); err != nil {
			return err
		}
	}
	return nil
}

// release removes contents that no message has any more.
func (s *Store) release(ctx context.Context, tx *sql.Tx, contents []int64) error {
	remove, err := tx.PrepareContext(ctx, `DELETE FROM mail_contents WHERE id = ? AND NOT EXISTS (SELECT 1 FROM mail_messages WHERE content = mail_contents.id) RETURNING blob, indexed`)
	if err != nil {
		return err
	}
	defer remove.Close()
	for _, content := range contents {
		var blob []byte
		var indexed bool
		if err := remove.QueryRowContext(ctx, content).Scan(&blob, &indexed); err == sql.ErrNoRows {
			continue
		} else if err != nil {
			return err
		}
		if err := s.blobs.Release(ctx, tx, kith.BlobID(blob)); err != nil {
			return err
		}
		if indexed {
			if _, err := tx.ExecContext(ctx, `DELETE FROM mail_words WHERE rowid = ?`, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Transfer is what a copy or a move did. Source and Dest belong together, in ascending
// order.
type Transfer struct {
	Folder       Folder // the one that the messages are in now, as it was before
	Source, Dest []imap.UID
}

// Transfer copies or moves messages of a folder to another one of the account. It fails with kind
// NotFound where there is none, and Quota.
func (s *Store) Transfer(ctx context.Context, account string, from int64, ranges []Range, name string, move bool) (t Transfer, err error) {
	err = s.store.Update(ctx, func(tx *sql.Tx) (err error) {
		t, err = s.transfer(ctx, tx, account, from, ranges, name, move)
		return err
	})
	if err == nil && len(t.Source) > 0 {
		s.changed(from, t.Folder.ID)
	}
	return t, err
}

func (s *Store) transfer(ctx context.Context, tx *sql.Tx, account string, from int64, ranges []Range, name string, move bool) (t Transfer, err error) {
	if t.Folder, err = folder(ctx, tx, account, name); err != nil {
		return t, err
	}
	var bytes int64
	for _, r := range ranges {
		rows, err := tx.QueryContext(ctx, `SELECT uid, size FROM mail_messages WHERE folder = ? AND uid BETWEEN ? AND ? ORDER BY uid`, from, r.From, r.To)
		if err != nil {
			return t, err
		}
		for rows.Next() {
			var uid imap.UID
			var size int64
			if err := rows.Scan(&uid, &size); err != nil {
				rows.Close()
				return t, err
			}
			t.Source, bytes = append(t.Source, uid), bytes+size
		}
		if err := rows.Err(); err != nil {
			return t, err
		}
	}
	if len(t.Source) == 0 {
		return t, nil
	}
	if move {
		bytes = 0
	}
	places := len(t.Source)
	if move {
		places = 0
	}
	if err := s.room(ctx, tx, t.Folder, places, bytes, false); err != nil {
		return t, err
	}
	next, modseq, err := advance(ctx, tx, t.Folder.ID, len(t.Source))
	if err != nil {
		return t, err
	}
	put, err := tx.PrepareContext(ctx, `INSERT INTO mail_messages (folder, uid, content, flags, keywords, modseq, received, zone, size)
		SELECT ?, ?, content, flags, keywords, ?, received, zone, size FROM mail_messages WHERE folder = ? AND uid = ?`)
	if err != nil {
		return t, err
	}
	defer put.Close()
	for _, uid := range t.Source {
		if _, err := put.ExecContext(ctx, t.Folder.ID, next, modseq, from, uid); err != nil {
			return t, err
		}
		t.Dest = append(t.Dest, next)
		next++
	}
	if !move {
		return t, nil
	}
	for _, r := range ranges {
		// None of those that have just been put there, where it is the same folder.
		if _, err := tx.ExecContext(ctx, `DELETE FROM mail_messages WHERE folder = ? AND uid BETWEEN ? AND ?`, from, r.From, min(r.To, t.Source[len(t.Source)-1])); err != nil {
			return t, err
		}
	}
	return t, expunged(ctx, tx, from, t.Source)
}
