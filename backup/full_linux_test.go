package backup

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

// TestDiskFull saves to, restores to and takes a snapshot on a disk that has too little
// room: the kind is clear, and nothing is left.
func TestDiskFull(t *testing.T) {
	dir := require.SmallDisk(t, 2)
	if dir == "" {
		return
	}
	top := t.TempDir()
	h := newHost(t, filepath.Join(top, "kith"))
	large := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(large) // which cannot be packed
	h.keep(large)
	stream, err := Begin(t.Context(), h.Source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Save(t.Context(), filepath.Join(dir, "file"), false, stream, stream.Size, nil); !errors.Is(err, kith.Quota) {
		t.Errorf("save: %v, want kind %q", err, kith.Quota)
	}
	stream.Close()
	expectOnly(t, dir)
	path := filepath.Join(top, "file")
	h.save(path)
	if _, err := Restore(t.Context(), path, filepath.Join(dir, "kith"), nil); !errors.Is(err, kith.Quota) {
		t.Errorf("restore: %v, want kind %q", err, kith.Quota)
	}
	expectOnly(t, dir)

	h = newHost(t, filepath.Join(dir, "kith"))
	h.note("here")
	if err := os.WriteFile(filepath.Join(dir, "ballast"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ballast, err := os.OpenFile(filepath.Join(dir, "ballast"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	for err == nil {
		_, err = ballast.Write(large[:4096])
	}
	if _, err := Begin(t.Context(), h.Source); !errors.Is(err, kith.Quota) {
		t.Errorf("begin: %v, want kind %q", err, kith.Quota)
	}
	expectOnly(t, h.Dir, "blobs", "certificate", "config.json", "content", "key", "kith.db", "kith.db-shm", "kith.db-wal", "lock")
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
}
