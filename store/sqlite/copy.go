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
)

// keepCopies is how many copies made before migrations remain.
const keepCopies = 2

// A safeCopy is a copy made before a migration.
type safeCopy struct {
	path    string
	applied int // migrations that the copy has
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
