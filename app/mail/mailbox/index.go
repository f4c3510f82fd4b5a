package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/message"
)

const (
	maxWords    = 256 << 10 // bytes of a message's text that are indexed
	indexBatch  = 100       // contents in a transaction
	indexPause  = time.Minute
	indexGather = 300 * time.Millisecond // who searches, or looks at conversations, before does it himself
)

// indexAll keeps conversations and the index up to date until ctx ends.
func (s *Store) indexAll(ctx context.Context) {
	for {
		if s.threadRest(ctx) == nil {
			_ = s.indexRest(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.pending:
		case <-time.After(indexPause):
		}
		select { // what comes together is one transaction, and does not hold up what comes next
		case <-ctx.Done():
			return
		case <-time.After(indexGather):
		}
	}
}

// index indexes what is in the queue.
func (s *Store) index(ctx context.Context) error {
	for after := int64(0); ; {
		next, err := s.indexSome(ctx, after)
		if err != nil || next == 0 {
			return err
		}
		after = next
	}
}

// indexRest indexes what is in the queue. Where that cannot be, such as on a full disk, the rest is found.
func (s *Store) indexRest(ctx context.Context) error {
	if err := s.index(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("messages cannot be indexed", "err", err)
	}
	return ctx.Err()
}

// words are what is indexed of a content.
type words struct {
	content                                  int64
	subject, sender, recipient, copies, body string
}

// indexSome indexes a batch of those after an ID, and returns the last of them, 0 if there
// was none.
func (s *Store) indexSome(ctx context.Context, after int64) (last int64, err error) {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	type pending struct {
		id            int64
		blob, summary []byte
	}
	var queue []pending
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, blob, summary FROM mail_contents WHERE indexed = 0 AND id > ? ORDER BY id LIMIT ?`, after, indexBatch)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p pending
			if err := rows.Scan(&p.id, &p.blob, &p.summary); err != nil {
				return err
			}
			queue = append(queue, p)
		}
		return rows.Err()
	})
	if err != nil || len(queue) == 0 {
		return 0, err
	}
	var batch []words
	for _, p := range queue {
		var m message.Message
		var body string
		err := m.UnmarshalBinary(p.summary)
		if err == nil {
			body, err = s.Text(ctx, &m, kith.BlobID(p.blob), maxWords)
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		} else if err != nil && !errors.Is(err, kith.NotFound) { // it may have been expunged by now
			s.log.Error("a message is not found by all of its words", "content", p.id, "err", err)
		}
		e := m.Envelope
		batch = append(batch, words{p.id, e.Subject, message.Addresses(e.From), message.Addresses(e.To), message.Addresses(e.Cc), body})
	}
	err = s.store.Update(ctx, func(tx *sql.Tx) error {
		mark, err := tx.PrepareContext(ctx, `UPDATE mail_contents SET indexed = 1, snippet = ? WHERE id = ? AND indexed = 0`)
		if err != nil {
			return err
		}
		defer mark.Close()
		put, err := tx.PrepareContext(ctx, `INSERT INTO mail_words (rowid, subject, sender, recipient, copy, body) VALUES (?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer put.Close()
		for _, w := range batch {
			result, err := mark.ExecContext(ctx, snippet(w.body), w.content)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				continue // expunged in the meantime
			}
			if _, err := put.ExecContext(ctx, w.content, w.subject, w.sender, w.recipient, w.copies, w.body); err != nil {
				return err
			}
		}
		return nil
	})
	return queue[len(queue)-1].id, err
}

// Text returns the text of a message, at most limit bytes of it.
func (s *Store) Text(ctx context.Context, m *message.Message, blob kith.BlobID, limit int) (string, error) {
	r, err := s.blobs.Open(ctx, blob)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := m.Text(seekReader{r}, limit)
	return strings.ReplaceAll(text, "\x00", " "), err
}

// A seekReader reads anywhere, for one reader at a time.
type seekReader struct{ r io.ReadSeeker }

func (s seekReader) ReadAt(p []byte, offset int64) (int, error) {
	if _, err := s.r.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.r, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
