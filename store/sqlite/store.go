package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"modernc.org/sqlite"

	"kith.alt/kith"
)

const (
	readers     = 8                // connections for Views
	idleReaders = 2                // of them, kept while unused: each has a cache
	idleTime    = 5 * time.Minute  // that further ones stay
	patient     = 10 * time.Second // for another process's lock on the file
	maxLog      = 64 << 20         // bytes to which a log that grew is cut back
)

// A Store is a [kith.Store] in one SQLite file. It is safe for concurrent use.
type Store struct {
	path   string
	writer *sql.DB // one connection
	reader *sql.DB
	turns  turns // of Updates

	migrating sync.Mutex
	copied    bool // no copy is needed any more: made, or nothing to copy
}

// Open opens the database at path, or makes it. The directory must exist. Who
// opens a Store closes it. Errors are of kind Denied when the file may not be
// read and written, and Invalid when it is damaged or no database.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &Store{path: path}
	writing, err := connect(path, "")
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s.writer = sql.OpenDB(guardConnector{writing})
	s.writer.SetMaxOpenConns(1)
	reading, err := connect(path, "&_query_only=1")
	if err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	s.reader = sql.OpenDB(reading)
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(idleReaders)
	s.reader.SetConnMaxIdleTime(idleTime)
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return s, nil
}

// createPrivate makes an empty file at path if there is none, and lets only
// its owner at it. SQLite gives the log the same mode.
func createPrivate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: let the user who runs kith read and write it: %w", err, kith.Denied)
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o600), file.Close(), syncDir(filepath.Dir(path)))
}

// connect returns what makes connections to the database.
func connect(path, options string) (driver.Connector, error) {
	location, err := location(path)
	if err != nil {
		return nil, err
	}
	opening, err := sqlite.NewConnector(location +
		fmt.Sprintf("?_busy_timeout=%d&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=1", patient.Milliseconds()) +
		"&_pragma=fullfsync(1)&_pragma=checkpoint_fullfsync(1)" + // macOS: past the drive's cache
		fmt.Sprintf("&_pragma=journal_size_limit(%d)", maxLog) +
		"&_dqs=0&_error_rc=1" + options)
	return connector{opening}, err
}

// location returns the URI of a file.
func location(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // C:/...
		path = "/" + path
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath(), nil
}

// prepare makes the table of migrations and finds out whether the database is
// new.
func (s *Store) prepare(ctx context.Context) error {
	return s.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS store_migrations (
			owner    TEXT    NOT NULL,
			version  INTEGER NOT NULL,
			name     TEXT    NOT NULL,
			checksum TEXT    NOT NULL,
			applied  TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP,
			PRIMARY KEY (owner, version)
		) STRICT`); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT count(*) = 0 FROM store_migrations`).Scan(&s.copied)
	})
}

// Close moves the log into the file and closes it. All transactions must have
// ended.
func (s *Store) Close() error {
	return errors.Join(s.reader.Close(), s.writer.Close()) // the last moves the log, so it must be able to write
}

// Single has one View run at a time from now on, for tests: a View within a View then never begins, as may
// happen in a busy node when all connections are taken by outer ones.
func (s *Store) Single() { s.reader.SetMaxOpenConns(1) }

// Dialect is [kith.SQLite].
func (s *Store) Dialect() kith.Dialect { return kith.SQLite }

// View runs fn in a snapshot that is taken at its first query.
func (s *Store) View(ctx context.Context, fn func(tx *sql.Tx) error) error {
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer conn.Close()
	return s.explain(ctx, view(ctx, conn, fn))
}

// view runs fn in a snapshot on a connection, which is free again when it returns.
func view(ctx context.Context, conn *sql.Conn, fn func(tx *sql.Tx) error) error {
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true}) // which must not end but here
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit; also when fn panics
	if err := fn(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return tx.Commit()
}
