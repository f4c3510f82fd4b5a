package content

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kith.alt/kith"
)

//go:embed migrations/*.sql
var migrations embed.FS

func (s *Store) migrate(ctx context.Context) error {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return s.tables.Migrate(ctx, "content", own)
}

// Retain notes that content needs files, which stay until [Store.Release]. Files
// that were imported before are durable when it returns.
func (s *Store) Retain(ctx context.Context, content kith.ContentID, roots ...Root) error {
	s.retaining.Lock()
	defer s.retaining.Unlock()
	if err := s.syncFresh(roots); err != nil {
		return fmt.Errorf("retain content: %w", s.explain(err))
	}
	err := s.tables.Update(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO content_retained (content, root) VALUES (?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, root := range roots {
			if root.IsZero() {
				continue
			}
			if _, err := insert.ExecContext(ctx, content[:], root[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("retain content: %w", err)
	}
	retained := make(map[Root]bool, len(roots))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, root := range roots {
		retained[root] = true
		delete(s.fresh, root)
	}
	for _, f := range s.files {
		if retained[f.root] {
			f.condemned = false
		}
	}
	return nil
}

// syncFresh waits until what Import made has reached the disk.
func (s *Store) syncFresh(roots []Root) error {
	directories := make(map[string]bool)
	for _, root := range roots {
		s.mu.Lock()
		size, ok := s.fresh[root]
		s.mu.Unlock()
		if !ok {
			continue
		}
		for _, suffix := range []string{treeSuffix, referencesSuffix} {
			path := s.path(key{root, size}, suffix)
			if err := syncFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			directories[filepath.Dir(path)] = true
			directories[s.dir] = true
		}
	}
	for dir := range directories {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Release notes that content does not need its files any more. Those that no
// other content needs are deleted, at once or when their last user closes them.
func (s *Store) Release(ctx context.Context, content kith.ContentID) error {
	s.retaining.Lock()
	defer s.retaining.Unlock()
	var gone []Root
	err := s.tables.Update(ctx, func(tx *sql.Tx) (err error) {
		gone, err = roots(ctx, tx, `SELECT root FROM content_retained AS mine WHERE content = ?
			AND NOT EXISTS (SELECT 1 FROM content_retained AS other WHERE other.root = mine.root AND other.content <> mine.content)`, content[:])
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM content_retained WHERE content = ?`, content[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("release content: %w", err)
	}
	s.discard(gone)
	return nil
}

// discard deletes the files of roots that nobody retains.
func (s *Store) discard(gone []Root) {
	discarded := make(map[Root]bool)
	directories := make(map[string]bool)
	for _, root := range gone {
		discarded[root] = true
		directories[filepath.Dir(s.path(key{root: root}, ""))] = true
	}
	for dir := range directories {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("content not deleted", "dir", dir, "err", err)
		}
		for _, entry := range entries {
			if k, _, ok := parseName(entry.Name()); ok && discarded[k.root] {
				s.discardFile(k)
			}
		}
	}
}

// discardFile deletes a file, or has it go with its last user.
func (s *Store) discardFile(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, fresh := s.fresh[k.root]; fresh {
		return
	}
	if f, used := s.files[k]; used {
		f.condemned = true
	} else {
		s.erase(k)
	}
}

func roots(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]Root, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Root
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		if len(raw) != len(Root{}) {
			return nil, fmt.Errorf("a stored root has %d bytes: %w", len(raw), kith.Invalid)
		}
		list = append(list, Root(raw))
	}
	return list, rows.Err()
}

// sweep deletes what is not retained, and adds up the rest.
func (s *Store) sweep(ctx context.Context) error {
	retained := make(map[Root]bool)
	err := s.tables.View(ctx, func(tx *sql.Tx) error {
		list, err := roots(ctx, tx, `SELECT DISTINCT root FROM content_retained`)
		for _, root := range list {
			retained[root] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	s.usage.Store(0)
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		k, suffix, ok := parseName(entry.Name())
		switch {
		case !ok: // not of this store
			return nil
		case !retained[k.root] || filepath.Ext(suffix) == newSuffix:
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case suffix == dataSuffix:
			info, err := entry.Info()
			if err != nil {
				return err
			}
			s.usage.Add(allocated(info))
		}
		return ctx.Err()
	})
}
