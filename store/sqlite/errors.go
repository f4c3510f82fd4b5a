package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kith.alt/kith"
)

// explain turns what the driver says into an error with a kind, and with a
// remedy where a person has to act. Other errors pass.
func (s *Store) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	cause, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	switch cause.Code() & 0xff { // without the extended code
	case sqlite3.SQLITE_INTERRUPT:
		if ctx.Err() != nil {
			return ctx.Err()
		}
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk of %s is full: make room; nothing stored is harmed: %w (%w)", s.path, kith.Quota, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH:
		return fmt.Errorf("database %s cannot be written: let the user who runs kith write it and its directory: %w (%w)", s.path, kith.Denied, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("database %s is damaged: stop kith and put back a backup%s; the file was not changed: %w (%w)", s.path, s.copiesText(), kith.Invalid, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("database %s is locked by another program: %w (%w)", s.path, kith.Temporary, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the disk of %s fails: check it: %w (%w)", s.path, kith.Temporary, err)
	}
	return err
}

// copiesText names the newest copy that can be put back.
func (s *Store) copiesText() string {
	copies, err := listCopies(s.path)
	if err != nil || len(copies) == 0 {
		return ""
	}
	return " or " + copies[len(copies)-1].path
}
