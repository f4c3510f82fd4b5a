package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) kith.Store {
		return open(t, filepath.Join(t.TempDir(), "kith.db"))
	})
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// grow returns n migrations of owner; the last makes the table <owner>_n.
func grow(owner string, n int) fstest.MapFS {
	dir := make(fstest.MapFS)
	for i := 1; i <= n; i++ {
		dir[fmt.Sprintf("%04d_step.sql", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `CREATE TABLE %s_%d (data BLOB)`, owner, i)}
	}
	return dir
}

func TestSettings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "100% & #1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "kith %41 ü.db"))
	if err := s.Migrate(t.Context(), "test", grow("test", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.path); err != nil {
		t.Errorf("the file is elsewhere: %v", err)
	}
	for _, c := range []struct {
		db                  *sql.DB
		name, pragma, value string
	}{
		{s.writer, "writer", "journal_mode", "wal"},
		{s.writer, "writer", "synchronous", "2"},
		{s.writer, "writer", "foreign_keys", "1"},
		{s.writer, "writer", "query_only", "0"},
		{s.writer, "writer", "busy_timeout", "10000"},
		{s.reader, "reader", "foreign_keys", "1"},
		{s.reader, "reader", "query_only", "1"},
	} {
		var got string
		if err := c.db.QueryRow("PRAGMA " + c.pragma).Scan(&got); err != nil || got != c.value {
			t.Errorf("%s: %s is %q, error %v; want %q", c.name, c.pragma, got, err, c.value)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(s.path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, error %v; want 0600", suffix, info.Mode(), err)
		}
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	for i := range 3 {
		s := open(t, path)
		if err := s.Migrate(t.Context(), "test", grow("test", i+1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the log remains after Close: %v", err)
		}
	}
}

// TestCopies checks that a migration of an existing database is preceded by
// one copy, that the newest two are kept, and that a copy can be put back.
func TestCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	numbers := func() (list []int) {
		copies, err := listCopies(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range copies {
			list = append(list, c.applied)
		}
		return list
	}
	for i, want := range [][]int{nil, {2}, {2, 4}, {4, 6}, {6, 8}} {
		s := open(t, path)
		for range 2 {
			for _, owner := range []string{"web", "mail"} {
				if err := s.Migrate(t.Context(), owner, grow(owner, i+1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := numbers(); !slices.Equal(got, want) {
			t.Errorf("copies after %d migrations each: %v, want %v", i+1, got, want)
		}
		s.Close()
	}
	copied := copyPath(path, 6)
	if info, err := os.Stat(copied); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("copy: mode %v, error %v; want 0600", info.Mode(), err)
	}
	if rest, _ := filepath.Glob(path + "*partial"); rest != nil {
		t.Errorf("left over: %v", rest)
	}
	s := open(t, copied)
	if err := s.Migrate(t.Context(), "web", grow("web", 2)); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("open the copy with an older program: %v, want the version named", err)
	}
}

// TestDamaged checks that a file that is no database, or a damaged one, gives
// an error with a remedy and stays as it is.
func TestDamaged(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	s := open(t, whole)
	if err := s.Migrate(t.Context(), "test", grow("test", 20)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(good)
	for i := 100; i < len(torn); i++ {
		torn[i] = 0xA5
	}
	for name, data := range map[string][]byte{
		"text":    []byte(strings.Repeat("this is no database\n", 1000)),
		"torn":    torn,
		"swapped": append(bytes.Clone(good[4096:]), good[:4096]...),
	} {
		path := filepath.Join(t.TempDir(), "kith.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copyPath(path, 7), good, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), path)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "before-7") {
			t.Errorf("%s: open: %v, want kind %q and a remedy", name, err, kith.Invalid)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
			t.Errorf("%s: the file has changed (%v)", name, err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "kith.db"))
	if err := s.Migrate(t.Context(), "test", grow("test", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.Exec(`PRAGMA max_page_count = 64`); err != nil {
		t.Fatal(err)
	}
	insert := func() error {
		return s.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO test_1 (data) VALUES (zeroblob(50000))`)
			return err
		})
	}
	stored := 0
	var err error
	for err = insert(); err == nil; err = insert() {
		stored++
	}
	if !errors.Is(err, kith.Quota) {
		t.Errorf("insert on a full disk: %v, want kind %q", err, kith.Quota)
	}
	expectStored(t, s, stored)
	if _, err := s.writer.Exec(`PRAGMA max_page_count = 1000000`); err != nil {
		t.Fatal(err)
	}
	if err := insert(); err != nil {
		t.Errorf("insert once there is room: %v", err)
	}
}

func expectStored(t *testing.T, s *Store, want int) {
	t.Helper()
	var n int
	err := s.View(t.Context(), func(tx *sql.Tx) error { return tx.QueryRow(`SELECT count(*) FROM test_1`).Scan(&n) })
	if err != nil || n != want {
		t.Errorf("%d rows, error %v; want the %d that were stored", n, err, want)
	}
}

func TestUnwritable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists instead")
	}
	if !require.Permissions(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "kith.db")
	if err := os.WriteFile(path, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, kith.Denied) {
		t.Errorf("open a file without permission: %v, want kind %q", err, kith.Denied)
	}
}

func TestNoDirectory(t *testing.T) {
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none", "kith.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open in a directory that is missing: %v, want os.ErrNotExist", err)
	}
}
