package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"modernc.org/sqlite"

	"kith.alt/kith"
)

// keepCopies is how many copies made before migrations remain.
const keepCopies = 2

// pagesAtOnce are copied before Snapshot looks whether it is to go on.
const pagesAtOnce = 1024

// A safeCopy is a copy made before a migration.
type safeCopy struct {
	path    string
	applied int // migrations that the copy has
}

// Snapshot copies the database to path, an empty file, or none: page by page, as it is
// at one moment, while others go on writing. fn sees the same moment. It stops when
// ctx ends; the copy is then of no use. A full disk is an error of kind Quota.
func (s *Store) Snapshot(ctx context.Context, path string, fn func(tx *sql.Tx) error) error {
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer conn.Close()
	return s.explain(ctx, view(ctx, conn, func(tx *sql.Tx) error {
		var applied int // the first query takes the snapshot
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM store_migrations`).Scan(&applied); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		return conn.Raw(func(driverConn any) error { return copyPages(ctx, driverConn.(pageCopier), path) })
	}))
}

// pageCopier is what the driver's connection has for it.
type pageCopier interface {
	NewBackup(target string) (*sqlite.Backup, error)
}

func copyPages(ctx context.Context, from pageCopier, path string) (err error) {
	target, err := location(path)
	if err != nil {
		return err
	}
	pages, err := from.NewBackup(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pages.Finish()) }()
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			more, err = pages.Step(pagesAtOnce)
		}
	}
	return err
}

// Check reads the whole database. It fails with kind Invalid where it is damaged.
func (s *Store) Check(ctx context.Context) error {
	return s.View(ctx, func(tx *sql.Tx) error {
		var result string
		err := tx.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&result)
		if err == nil && result != "ok" {
			err = fmt.Errorf("database %s is damaged: %.200s: %w", s.path, result, kith.Invalid)
		}
		return err
	})
}

// copyAside writes a compact copy of the database to kith.db.before-N.
func (s *Store) copyAside(ctx context.Context) error {
	var applied int
	err := s.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM store_migrations`).Scan(&applied)
	})
	if err != nil {
		return err
	}
	target := copyPath(s.path, applied)
	partial := target + ".partial"
	file, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(partial) // no effect once it is renamed
	defer file.Close()
	if _, err := s.writer.ExecContext(ctx, `VACUUM INTO ?`, partial); err != nil { // into the empty file
		return s.explain(ctx, err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(partial, target); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(target)); err != nil {
		return err
	}
	return s.removeOldCopies()
}

func (s *Store) removeOldCopies() error {
	copies, err := listCopies(s.path)
	if err != nil {
		return err
	}
	for len(copies) > keepCopies {
		if err := os.Remove(copies[0].path); err != nil {
			return err
		}
		copies = copies[1:]
	}
	return nil
}

func copyPath(database string, applied int) string {
	return fmt.Sprintf("%s.before-%d", database, applied)
}

// listCopies returns the copies of a database, the oldest first.
func listCopies(database string) ([]safeCopy, error) {
	dir, base := filepath.Split(database)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var copies []safeCopy
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), base+".before-")
		if applied, err := strconv.Atoi(number); ok && err == nil {
			copies = append(copies, safeCopy{filepath.Join(dir, e.Name()), applied})
		}
	}
	slices.SortFunc(copies, func(a, b safeCopy) int { return a.applied - b.applied })
	return copies, nil
}
