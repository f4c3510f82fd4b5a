package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

// TestDiskFullForReal fills a small file system, and checks that what was
// stored remains, that other commits fail with a clear kind, and that writing
// goes on once there is room.
func TestDiskFullForReal(t *testing.T) {
	dir := require.SmallDisk(t, 3)
	if dir == "" {
		return
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "kith.db"))
	if err := s.Migrate(t.Context(), "test", grow("test", 1)); err != nil {
		t.Fatal(err)
	}
	insert := func() error {
		return s.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO test_1 (data) VALUES (randomblob(50000))`)
			return err
		})
	}
	stored := 0
	var err error
	for err = insert(); err == nil; err = insert() {
		stored++
	}
	for range 3 {
		if !errors.Is(err, kith.Quota) {
			t.Errorf("insert on a full disk: %v, want kind %q", err, kith.Quota)
		}
		err = insert()
	}
	s.Close()
	again, err := Open(t.Context(), s.path)
	if err == nil { // it may need room for its log
		expectStored(t, again, stored)
		again.Close()
	} else if !errors.Is(err, kith.Quota) {
		t.Errorf("open on a full disk: %v, want kind %q", err, kith.Quota)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.path)
	expectStored(t, s, stored)
	if err := insert(); err != nil {
		t.Errorf("insert once there is room: %v", err)
	}
	expectStored(t, s, stored+1)
}
