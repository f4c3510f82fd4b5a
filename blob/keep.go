package blob

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"kith.alt/kith"
)

// Keep has a blob stay when tx commits.
func (s *Store) Keep(ctx context.Context, tx *sql.Tx, id kith.BlobID) error {
	s.mu.Lock()
	u, ok := s.uses[id]
	live := ok && u.live > 0
	s.mu.Unlock()
	var err error
	var result sql.Result
	if live {
		result, err = tx.ExecContext(ctx, `INSERT INTO blob_kept (id, size, keeps, data) VALUES (?, ?, 1, ?)
			ON CONFLICT (id) DO UPDATE SET keeps = keeps + 1`, id[:], u.size, nullable(u.data))
	} else {
		result, err = tx.ExecContext(ctx, `UPDATE blob_kept SET keeps = keeps + 1 WHERE id = ?`, id[:])
	}
	if err == nil {
		err = expectRow(result, id)
	}
	if err != nil {
		return fmt.Errorf("keep blob: %w", err)
	}
	return nil
}

// Release takes back a Keep when tx commits.
func (s *Store) Release(ctx context.Context, tx *sql.Tx, id kith.BlobID) error {
	if err := s.release(ctx, tx, id); err != nil {
		return fmt.Errorf("release blob: %w", err)
	}
	return nil
}

func (s *Store) release(ctx context.Context, tx *sql.Tx, id kith.BlobID) error {
	result, err := tx.ExecContext(ctx, `UPDATE blob_kept SET keeps = keeps - 1 WHERE id = ? AND keeps > 1`, id[:])
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	var inFile bool
	err = tx.QueryRowContext(ctx, `DELETE FROM blob_kept WHERE id = ? RETURNING data IS NULL`, id[:]).Scan(&inFile)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(id)
	}
	if err != nil {
		return err
	}
	if inFile {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.suspect(id)
	}
	return nil
}

// Open reads a blob that is kept, or whose writer's context has not ended. It may be
// called in an Update, and sees what was committed before; but not in a View, as it may
// need one itself.
func (s *Store) Open(ctx context.Context, id kith.BlobID) (io.ReadSeekCloser, error) {
	r, err := s.open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, id kith.BlobID) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	if u, ok := s.uses[id]; ok && u.live > 0 {
		if u.data != nil {
			s.mu.Unlock()
			return memory{bytes.NewReader(u.data)}, nil
		}
		u.users++
		s.mu.Unlock()
		return s.openFile(id, u)
	}
	s.mu.Unlock()
	var size int64
	var data []byte
	var inFile bool
	err := s.tables.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT size, data, data IS NULL FROM blob_kept WHERE id = ?`, id[:]).Scan(&size, &data, &inFile)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, notFound(id)
	case err != nil:
		return nil, err
	case !inFile:
		return memory{bytes.NewReader(data)}, nil
	}
	return s.openFile(id, s.enter(id, size))
}

// openFile opens the file of a blob for a user who has entered.
func (s *Store) openFile(id kith.BlobID, u *use) (io.ReadSeekCloser, error) {
	file, err := s.fs.Open(s.path(id))
	if err != nil {
		s.exit(id, u, false)
		if errors.Is(err, fs.ErrNotExist) { // released a moment ago
			return nil, notFound(id)
		}
		return nil, explain(err)
	}
	return &reader{ReadSeekCloser: file, leave: sync.OnceFunc(func() { s.exit(id, u, false) })}, nil
}

func expectRow(result sql.Result, id kith.BlobID) error {
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = notFound(id)
	}
	return err
}

func notFound(id kith.BlobID) error {
	return fmt.Errorf("there is no blob %s: %w", id, kith.NotFound)
}

// nullable returns data as a value of a statement: NULL only for nil.
func nullable(data []byte) any {
	if data == nil {
		return nil
	}
	return data
}

// memory reads a small blob.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// A reader reads a file, which stays until it is closed.
type reader struct {
	io.ReadSeekCloser
	leave func()
}

func (r *reader) Close() error {
	defer r.leave()
	return r.ReadSeekCloser.Close()
}
