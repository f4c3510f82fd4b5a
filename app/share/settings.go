package share

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kith.alt/kith"
	"kith.alt/kith/folders"
)

// Names of settings.
const (
	downloadsFolder = "downloads" // for what is taken with a click
	uploadsFolder   = "uploads"   // for what is dragged in
)

// settings are the folders that the owner may choose.
type settings struct{ store kith.Store }

// folder returns the folder of a setting, which need not exist.
func (s settings) folder(ctx context.Context, name string) (string, error) {
	var dir string
	err := s.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT value FROM share_settings WHERE name = ?", name).Scan(&dir)
	})
	switch {
	case err == nil:
		return dir, nil
	case !errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("setting %s: %w", name, err)
	case folders.Home() == "":
		return "", fmt.Errorf("this computer tells of no home folder; choose a folder in the dashboard: %w", kith.NotFound)
	case name == uploadsFolder:
		return filepath.Join(folders.Home(), "kith", "shared"), nil
	}
	return filepath.Join(folders.Home(), "Downloads", "kith"), nil
}

// made returns the folder of a setting, made if need be.
func (s settings) made(ctx context.Context, name string) (string, error) {
	dir, err := s.folder(ctx, name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder %s (%v); choose another: %w", dir, err, kith.Denied)
	}
	return dir, nil
}

// set chooses a folder, and makes it.
func (s settings) set(ctx context.Context, name, dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("folder %q is not a whole path, from the top: %w", dir, kith.Invalid)
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder %s cannot be made: %v: %w", dir, err, kith.Invalid)
	}
	return s.store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO share_settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, dir)
		return err
	})
}
