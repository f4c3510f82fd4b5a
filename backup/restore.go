package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/store/sqlite"
)

// Verify reads all of a file, compares it with its manifest, checks a copy of the database,
// which needs room in the system's directory for temporary files, and that the blobs
// that it names are there, and no others. What is wrong with the file is an error
// of kind Invalid. progress may be nil.
func Verify(ctx context.Context, path string, progress func(done, total int64)) (Manifest, error) {
	dir, err := os.MkdirTemp("", "kith-verify-*") // with mode 0700
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(dir)
	m, err := extract(ctx, path, dir, false, progress)
	if err != nil {
		return m, fmt.Errorf("verify backup: %w", explain(err))
	}
	return m, nil
}

// Mark is a file in a data directory that was restored, until the host has started.
const Mark = "restored"

// Restore makes a data directory of a file, after all that Verify does. The directory
// appears when it is whole and on the disk; it must not exist, or be empty: else
// the error is of kind Exists. progress may be nil.
func Restore(ctx context.Context, path, dir string, progress func(done, total int64)) (m Manifest, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return m, err
	}
	if err := mayFill(dir); err != nil {
		return m, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return m, err
	}
	if err := removeAll(quoteGlob(dir) + partialInfix + "*"); err != nil {
		return m, err
	}
	partial, err := os.MkdirTemp(parent, filepath.Base(dir)+partialInfix+"*") // with mode 0700
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore: %w", errors.Join(explain(err), os.RemoveAll(partial)))
		}
	}()
	if m, err = extract(ctx, path, partial, true, progress); err != nil {
		return m, err
	}
	if err := os.WriteFile(filepath.Join(partial, Mark), nil, 0o600); err != nil {
		return m, err
	}
	if err := syncTree(partial); err != nil {
		return m, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return m, mayFill(dir)
	}
	if err := os.Rename(partial, dir); err != nil {
		return m, err
	}
	return m, syncDir(parent)
}

// mayFill reports whether a data directory may be made at dir.
func mayFill(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty: %w", dir, kith.Exists)
	}
	return nil
}

// extract reads and checks a file, and puts what is in it below dir: all, or the
// database alone.
func extract(ctx context.Context, path, dir string, all bool, progress func(done, total int64)) (Manifest, error) {
	var blobs []kith.Blob
	m, err := unpack(path, progress, visitor{
		part: func(name string, r io.Reader) error {
			if err := ctx.Err(); err != nil || !all && name != databaseName {
				return err
			}
			return makeFile(filepath.Join(dir, filepath.FromSlash(name)), r)
		},
		blob: func(b kith.Blob, r io.Reader) error {
			blobs = append(blobs, b)
			if err := ctx.Err(); err != nil || !all {
				return err
			}
			return makeFile(filepath.Join(dir, blobsName, filepath.FromSlash(blob.Path(b.ID))), r)
		},
	})
	if err != nil {
		return m, err
	}
	return m, checkDatabase(ctx, filepath.Join(dir, databaseName), blobs)
}

// checkDatabase checks a database, and that the blobs it names are these.
func checkDatabase(ctx context.Context, path string, blobs []kith.Blob) (err error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return fmt.Errorf("the database in it: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Check(ctx); err != nil {
		return err
	}
	return store.View(ctx, func(tx *sql.Tx) error {
		if err := blob.EachFile(ctx, tx, func(b kith.Blob) error {
			if len(blobs) == 0 || blobs[0] != b {
				return fmt.Errorf("blob %s of the database is not in the file: %w", b.ID, kith.Invalid)
			}
			blobs = blobs[1:]
			return nil
		}); err != nil {
			return err
		}
		if len(blobs) > 0 {
			return fmt.Errorf("blob %s is not in the database: %w", blobs[0].ID, kith.Invalid)
		}
		return nil
	})
}

// makeFile makes a file, and its directory where that is missing.
func makeFile(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, r)
	return errors.Join(err, file.Close())
}

// syncTree makes everything below a directory durable.
func syncTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		return syncFile(path)
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(dirs) {
		if err := syncDir(path); err != nil {
			return err
		}
	}
	return nil
}

// syncFile makes the bytes of a file durable.
func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
