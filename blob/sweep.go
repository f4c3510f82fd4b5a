package blob

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
)

// sweepUntil sweeps whenever there may be something to do, until ctx ends.
func (s *Store) sweepUntil(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.nudge:
		}
		pause := sweepPause
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("blobs not deleted", "err", err)
			s.wake()
			pause = failedPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// sweep deletes the files that are suspect now and that nobody needs.
func (s *Store) sweep(ctx context.Context) error {
	s.mu.Lock()
	ended, suspects := s.ended, s.suspects
	s.ended, s.suspects = nil, nil
	s.mu.Unlock()

	// When this returns, transactions that have kept or released one of these are over.
	err := s.tables.Update(ctx, func(*sql.Tx) error { return nil })
	s.mu.Lock()
	if err != nil {
		s.ended, s.suspects = append(s.ended, ended...), append(s.suspects, suspects...)
		s.mu.Unlock()
		return err
	}
	for _, id := range ended {
		if s.leave(id, s.uses[id], true) {
			suspects = append(suspects, id)
		}
	}
	s.mu.Unlock()

	for i, id := range suspects {
		if err := s.removeUnkept(ctx, id); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.suspects = append(s.suspects, suspects[i:]...)
			return err
		}
	}
	return nil
}

// removeUnkept deletes a file unless it is used or kept. No transaction that has
// released it is under way.
func (s *Store) removeUnkept(ctx context.Context, id kith.BlobID) error {
	// Who is in a View may wait for s.mu, so it is not held here. A blob that is not kept now is kept later only by whoever
	// writes it again, and whose use ends nowhere but in sweep.
	var kept bool
	err := s.tables.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM blob_kept WHERE id = ?)`, id[:]).Scan(&kept)
	})
	if err != nil || kept {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, used := s.uses[id]; used {
		u.check = true
		return nil
	}
	if s.holds > 0 {
		s.suspects = append(s.suspects, id) // looked at when the last hold ends
		return nil
	}
	if err := s.fs.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain(err)
	}
	return nil
}

// sweepAll makes the directory, and deletes what nobody kept.
func (s *Store) sweepAll(ctx context.Context) error {
	if err := s.fs.MakeDir(s.dir); err != nil {
		return explain(err)
	}
	if err := errors.Join(s.fs.SyncDir(filepath.Dir(s.dir)), s.fs.SyncDir(s.dir)); err != nil {
		return explain(err)
	}
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return explain(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		first, err := hex.DecodeString(name)
		switch {
		case entry.IsDir() && err == nil && len(first) == 1:
			s.made[first[0]] = true
			if err := s.sweepDir(ctx, name, first[0]); err != nil {
				return err
			}
		case !entry.IsDir() && strings.HasPrefix(name, newPrefix):
			s.discard(filepath.Join(s.dir, name))
		}
	}
	return nil
}

// sweepDir deletes what nobody kept of the files that begin with a byte.
func (s *Store) sweepDir(ctx context.Context, name string, first byte) error {
	kept := make(map[kith.BlobID]bool)
	err := s.tables.View(ctx, func(tx *sql.Tx) error {
		last := kith.BlobID{first}
		for i := range last[1:] {
			last[1+i] = 0xff
		}
		return eachFile(ctx, tx, kith.BlobID{first}, last, func(blob kith.Blob) error {
			kept[blob.ID] = true
			return nil
		})
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, name)
	entries, err := s.fs.ReadDir(dir)
	if err != nil {
		return explain(err)
	}
	for _, entry := range entries {
		id, err := ParsePath(name + "/" + entry.Name())
		switch {
		case err != nil: // not of this store
		case kept[id]:
			delete(kept, id)
		default:
			s.discard(filepath.Join(dir, entry.Name()))
		}
	}
	for id := range kept {
		s.log.Error("blob lost: its file is missing", "path", s.path(id))
	}
	return nil
}

// EachFile calls each for every blob that the database of tx keeps as a file, in the
// order of their IDs, until it fails.
func EachFile(ctx context.Context, tx *sql.Tx, each func(kith.Blob) error) error {
	last := kith.BlobID{}
	for i := range last {
		last[i] = 0xff
	}
	return eachFile(ctx, tx, kith.BlobID{}, last, each)
}

func eachFile(ctx context.Context, tx *sql.Tx, from, to kith.BlobID, each func(kith.Blob) error) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, size FROM blob_kept WHERE data IS NULL AND id BETWEEN ? AND ? ORDER BY id`, from[:], to[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		var blob kith.Blob
		if err := rows.Scan(&raw, &blob.Size); err != nil {
			return err
		}
		if len(raw) != len(blob.ID) {
			return fmt.Errorf("a stored blob ID has %d bytes: %w", len(raw), kith.Invalid)
		}
		blob.ID = kith.BlobID(raw)
		if err := each(blob); err != nil {
			return err
		}
	}
	return rows.Err()
}

// A Hold keeps the sweeper from deleting files, as a backup needs: what a snapshot
// of the database names, taken after Hold, can be read to its end.
type Hold struct {
	store *Store
	end   func()
}

// Hold begins a hold, which the caller ends with Close.
func (s *Store) Hold() *Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds++
	return &Hold{store: s, end: sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.holds--
		s.wake()
	})}
}

// Open reads the file of a blob, whether or not it is still kept.
func (h *Hold) Open(id kith.BlobID) (io.ReadSeekCloser, error) {
	file, err := h.store.fs.Open(h.store.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob: %w", notFound(id))
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", explain(err))
	}
	return file, nil
}

// Close ends the hold.
func (h *Hold) Close() { h.end() }
