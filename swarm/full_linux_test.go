package swarm

import (
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

// TestDiskFull takes content while the disk fills up: it pauses with a reason, what
// came is kept, and it goes on by itself when there is room.
func TestDiskFull(t *testing.T) {
	dir := require.SmallDisk(t, 64)
	if dir == "" {
		return
	}
	v := newVillage(t, "maple")
	oak := v.add(t, "oak")
	oak.data, oak.files = filepath.Join(dir, "data"), filepath.Join(dir, "files")
	for _, folder := range []string{oak.data, oak.files} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 56<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	oak.start(t)
	id, data, target := shared(t, v, 12<<20+7, 0)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	isFull := func() bool {
		h := oak.holdingOf(t, id)
		return h.State == kith.HoldingPaused && h.Reason != "" && len(h.Peers) == 0
	}
	oak.until(t, "paused with a reason", isFull)
	oak.look() // there is no room yet
	oak.until(t, "still paused", isFull)
	have := oak.holdingOf(t, id).Have
	if have == 0 || have == int64(len(data)) {
		t.Errorf("%d of %d bytes are here when the disk is full", have, len(data))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	oak.look()
	oak.untilComplete(t, id, target, data)
	if got := oak.holdingOf(t, id).Received; got > int64(len(data))+int64(len(data))/4 {
		t.Errorf("%d bytes came, of %d", got, len(data))
	}
}
