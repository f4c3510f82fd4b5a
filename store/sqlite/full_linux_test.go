package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

const fullVariable = "KITH_SQLITE_TEST_FULL" // a small file system, in the child

// TestDiskFullForReal fills a small file system, and checks that what was
// stored remains, that other commits fail with a clear kind, and that writing
// goes on once there is room.
func TestDiskFullForReal(t *testing.T) {
	dir := os.Getenv(fullVariable)
	if dir == "" {
		withSmallDisk(t)
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

// withSmallDisk runs the test again with a file system of 3 MiB.
func withSmallDisk(t *testing.T) {
	t.Helper()
	require.Root(t)
	unshare := require.Tool(t, "unshare")
	if err := exec.Command(unshare, "--mount", "true").Run(); err != nil {
		t.Skipf("mount namespaces are not permitted here: %v", err)
	}
	const script = `mount -t tmpfs -o size=3m none "$` + fullVariable + `" && exec "$0" "$@"`
	command := exec.Command(unshare, "--mount", "sh", "-c", script, os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), fullVariable+"="+t.TempDir())
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
