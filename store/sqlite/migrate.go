package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kith.alt/kith"
)

// A migration is one file: 0003_drafts.sql.
type migration struct {
	version  int
	name     string
	text     string
	checksum string
}

// Migrate applies the migrations of owner that are pending, all or none.
func (s *Store) Migrate(ctx context.Context, owner string, migrations fs.FS) error {
	if err := s.migrate(ctx, owner, migrations); err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context, owner string, migrations fs.FS) error {
	if err := kith.CheckLabel(owner); err != nil {
		return err
	}
	known, err := readMigrations(migrations)
	if err != nil {
		return err
	}
	s.migrating.Lock()
	defer s.migrating.Unlock()
	var pending []migration
	err = s.View(ctx, func(tx *sql.Tx) (err error) {
		pending, err = findPending(ctx, tx, owner, known)
		return err
	})
	if err != nil || len(pending) == 0 {
		return err
	}
	if !s.copied {
		if err := s.copyAside(ctx); err != nil {
			return fmt.Errorf("copy the database aside: %w", err)
		}
		s.copied = true
	}
	return s.Update(ctx, func(tx *sql.Tx) error {
		pending, err := findPending(ctx, tx, owner, known) // another process may have been here
		if err != nil {
			return err
		}
		for _, m := range pending {
			if _, err := tx.ExecContext(ctx, m.text); err != nil {
				return fmt.Errorf("%04d_%s: %w", m.version, m.name, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO store_migrations (owner, version, name, checksum) VALUES (?, ?, ?, ?)`,
				owner, m.version, m.name, m.checksum); err != nil {
				return err
			}
		}
		return nil
	})
}

// findPending compares what is applied with what is known.
func findPending(ctx context.Context, tx *sql.Tx, owner string, known []migration) ([]migration, error) {
	rows, err := tx.QueryContext(ctx, `SELECT version, name, checksum FROM store_migrations WHERE owner = ? ORDER BY version`, owner)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := 0
	for rows.Next() {
		var m migration
		if err := rows.Scan(&m.version, &m.name, &m.checksum); err != nil {
			return nil, err
		}
		if m.version > len(known) {
			return nil, fmt.Errorf("the database is of version %d (%s), this program knows %d: run a newer kith, the one that wrote it: %w",
				m.version, m.name, len(known), kith.Invalid)
		}
		if k := known[m.version-1]; k.checksum != m.checksum {
			return nil, fmt.Errorf("%04d_%s is not the migration that was applied as %04d_%s: %w",
				k.version, k.name, m.version, m.name, kith.Invalid)
		}
		applied = m.version
	}
	return known[applied:], rows.Err()
}

var migrationName = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)

// readMigrations returns the migrations in order: 1, 2, 3 and so on.
func readMigrations(dir fs.FS) ([]migration, error) {
	paths, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var list []migration
	for i, path := range paths {
		parts := migrationName.FindStringSubmatch(path)
		if parts == nil {
			return nil, fmt.Errorf("migration %s is not named NNNN_name.sql: %w", path, kith.Invalid)
		}
		version, err := strconv.Atoi(parts[1])
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s is not number %04d, which comes next: %w", path, i+1, kith.Invalid)
		}
		data, err := fs.ReadFile(dir, path)
		if err != nil {
			return nil, err
		}
		text := strings.ReplaceAll(string(data), "\r\n", "\n") // as git may write it on Windows
		sum := sha256.Sum256([]byte(text))
		list = append(list, migration{version, parts[2], text, hex.EncodeToString(sum[:])})
	}
	return list, nil
}
