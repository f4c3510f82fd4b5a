package blob

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

// TestDiskFull fills a small file system, and checks that what was written remains,
// that other writes fail with a clear kind and leave nothing, and that it goes on
// once there is room.
func TestDiskFull(t *testing.T) {
	dir := require.SmallDisk(t, 2)
	if dir == "" {
		return
	}
	b := newBench(t) // the tables have room
	b.Store = New(Config{Dir: filepath.Join(dir, "blobs"), Store: b.tables})
	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stored := 0
	write := func() error {
		_, err := b.Write(t.Context(), bytes.NewReader(random(100_000, uint64(stored))), 1<<20)
		return err
	}
	var err error
	for err = write(); err == nil; err = write() {
		stored++
	}
	for range 3 {
		if !errors.Is(err, kith.Quota) {
			t.Errorf("write on a full disk: %v, want kind %q", err, kith.Quota)
		}
		err = write()
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "blobs", newPrefix+"*")); left != nil {
		t.Errorf("left behind: %s", left)
	}
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil || len(files) != stored {
		t.Errorf("%d files, %v; want %d", len(files), err, stored)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Size() != 100_000 || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	ctx := t.Context()
	small, err := b.Write(ctx, bytes.NewReader(random(100, 1)), 1<<20)
	if err != nil {
		t.Errorf("write a row: %v", err)
	}
	b.expect(small.ID, random(100, 1))
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("write once there is room: %v", err)
	}
}
