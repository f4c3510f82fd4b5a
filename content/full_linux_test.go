package content

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

// TestDiskFull fills a small file system with blocks, and checks that those
// that were taken remain, that others fail with a clear kind, and that it goes
// on once there is room.
func TestDiskFull(t *testing.T) {
	dir := require.SmallDisk(t, 4)
	if dir == "" {
		return
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: t.TempDir(), log: os.Stderr}
	b.open() // the tables have room
	defer b.close()
	b.Store.dir = dir
	data := random(200*BlockSize, 30)
	sum := summary(t, data)
	f := b.file(sum)
	defer f.Close()
	stored := 0
	var err error
	next := func() error {
		base, index, length, proofs := f.HashGroup(stored, 32)
		if err := f.SetHashes(base, index, length, proofs, naiveHashes(sum.Leaves, base, index, length, proofs)); err != nil {
			return err
		}
		return f.WriteBlock(stored, blockOf(data, stored))
	}
	for err = next(); err == nil; err = next() {
		stored++
	}
	for range 3 {
		if !errors.Is(err, kith.Quota) {
			t.Errorf("write on a full disk: %v, want kind %q", err, kith.Quota)
		}
		err = next()
	}
	expect(t, f, data, func(i int) bool { return i < stored })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for ; stored < f.Blocks(); stored++ {
		if err := next(); err != nil {
			t.Fatalf("block %d once there is room: %v", stored, err)
		}
	}
	expect(t, f, data, all)
	t.Logf("%d blocks", stored)

	// A file that is moved needs no room; one that comes from another disk does.
	target := filepath.Join(dir, "target")
	if err := b.Export(t.Context(), sum.Root, sum.Size, target); err != nil {
		t.Fatal(err)
	}
	expect(t, f, data, all)
	other := newBench(t)
	more := random(100*BlockSize, 31)
	sum = summary(t, more)
	far := other.file(sum)
	defer far.Close()
	other.take(far, more, sum.Leaves, every(far)...)
	path := filepath.Join(dir, "far")
	if err := other.Export(t.Context(), sum.Root, sum.Size, path); !errors.Is(err, kith.Quota) {
		t.Errorf("export to a full disk: %v, want kind %q", err, kith.Quota)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*far*")); names != nil {
		t.Errorf("left behind: %s", names)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".kith*")); names != nil {
		t.Errorf("left behind: %s", names)
	}
	expect(t, far, more, all)
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f = b.file(Summary{Root: f.root, Size: f.size}) // lets go of the file
	if err := other.Export(t.Context(), sum.Root, sum.Size, path); err != nil {
		t.Errorf("export once there is room: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, more) {
		t.Errorf("exported: %d bytes, %v", len(got), err)
	}
	if isClone(t, far) || other.Usage() != 0 {
		t.Errorf("the store has kept %d bytes of what it has on another disk", other.Usage())
	}
	expect(t, far, more, all)
}
