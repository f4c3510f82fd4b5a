package swarm

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/content"
)

// shared has maple publish a file and returns its content, bytes and a place for
// oak to take it to. Oak takes at most rate bytes a second; 0 is any.
func shared(t *testing.T, v *village, size int, rate int64) (id kith.ContentID, data []byte, target string) {
	t.Helper()
	maple, oak := v.host("maple"), v.host("oak")
	path, data := maple.write(t, "song.ogg", size)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := oak.SetLimits(t.Context(), kith.SwarmLimits{Down: rate}); err != nil {
		t.Fatal(err)
	}
	return entry.Content, data, filepath.Join(oak.files, "taken")
}

func (h *villager) holdingOf(t *testing.T, id kith.ContentID) kith.Holding {
	t.Helper()
	holding, err := h.Holding(id)
	if err != nil {
		t.Fatal(err)
	}
	return holding
}

// TestRestarts stops and starts a seed and a taker at random moments: what was
// verified is kept, nothing comes twice, and the counts outlive it all.
func TestRestarts(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	id, data, target := shared(t, v, 4<<20+5, 2<<20)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		least := oak.holdingOf(t, id).Have
		goal := min(int64(len(data)), least+int64(rand.IntN(40))*content.BlockSize)
		oak.until(t, "further", func() bool { return oak.holdingOf(t, id).Have >= goal })
		switch have := oak.holdingOf(t, id).Have; round % 3 {
		case 0:
			maple.stop()
			maple.start(t)
		default:
			oak.stop()
			oak.start(t)
			oak.until(t, "back where it was", func() bool { return oak.holdingOf(t, id).Have >= have })
		}
	}
	oak.untilComplete(t, id, target, data)
	if got := oak.holdingOf(t, id).Received; got < int64(len(data)) || got > int64(len(data))+40*content.BlockSize {
		t.Errorf("%d bytes came, of %d", got, len(data))
	}
}

// TestPause stops and goes on, in quick succession too.
func TestPause(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, data, target := shared(t, v, 2<<20, 1<<20)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "begun", func() bool { return oak.holdingOf(t, id).Have > 0 })
	for range 50 {
		for _, paused := range []bool{true, false} {
			if err := oak.Pause(t.Context(), id, paused); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := oak.Pause(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	if h := oak.holdingOf(t, id); h.State != kith.HoldingPaused || h.Reason != "" {
		t.Errorf("paused: %+v", h)
	}
	oak.until(t, "at rest", func() bool { return len(oak.holdingOf(t, id).Peers) == 0 })
	if h := oak.holdingOf(t, id); h.Have == 0 || h.Received == 0 {
		t.Errorf("what was here is forgotten: %+v", h)
	}
	oak.stop()
	oak.start(t)
	if h := oak.holdingOf(t, id); h.State != kith.HoldingPaused || h.Have == 0 {
		t.Errorf("after a restart: %+v", h)
	}
	oak.SetLimits(t.Context(), kith.SwarmLimits{})
	if err := oak.Pause(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
}

// TestDrop ends what is under way and leaves nothing.
func TestDrop(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, data, target := shared(t, v, 2<<20, 1<<20)
	for range 5 {
		if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
			t.Fatal(err)
		}
		oak.until(t, "begun", func() bool { return oak.holdingOf(t, id).Have > 0 })
		if err := oak.Drop(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := oak.Holding(id); !errors.Is(err, kith.NotFound) {
			t.Errorf("dropped: %v", err)
		}
		if n := oak.Swarm.store.Usage(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	}
	oak.stop()
	oak.start(t)
	if list := oak.Holdings(); len(list) != 0 {
		t.Errorf("after a restart: %+v", list)
	}
	oak.SetLimits(t.Context(), kith.SwarmLimits{})
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	if err := oak.Drop(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the person's file is gone: %v", err)
	}
}

// TestOpen reads while blocks come, and from the end first.
func TestOpen(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, data, _ := shared(t, v, 2<<20+7, 1<<20)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id}); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "described", func() bool { return oak.holdingOf(t, id).Size > 0 })
	r, err := oak.Open(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, back := range []int64{100, 1 << 20, int64(len(data))} {
		if _, err := r.Seek(-back, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data[int64(len(data))-back:]) {
			t.Errorf("the last %d bytes: %d came, %v", back, len(got), err)
		}
	}
}

// TestSame takes a folder in which files are the same: they come once.
func TestSame(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	data := randomBytes(1<<20 + 3)
	for _, name := range []string{"box/a", "box/b", "box/c"} {
		path, _ := maple.write(t, name, 1)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: filepath.Join(maple.files, "box")})
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(oak.files, "box")
	if _, err := oak.Take(t.Context(), kith.Taking{Content: entry.Content, Path: target}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		oak.untilComplete(t, entry.Content, filepath.Join(target, name), data)
	}
	if got := oak.holdingOf(t, entry.Content).Received; got > 2*int64(len(data)) {
		t.Errorf("%d bytes came for %d", got, len(data))
	}
}

// TestKilledBetween takes to a place where the content stands already, as after a
// kill in the last moment.
func TestKilledBetween(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, data, target := shared(t, v, 1<<20, 0)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	oak.mu.Lock()
	oak.holdings[id].complete = false
	oak.mu.Unlock()
	if err := oak.save(t.Context(), oak.holdings[id], nil); err != nil {
		t.Fatal(err)
	}
	oak.stop()
	oak.start(t)
	oak.untilComplete(t, id, target, data)
}

// TestFollow takes newer versions: what is gone goes, what the person changed stays.
func TestFollow(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	for _, name := range []string{"box/stays", "box/goes/1", "box/goes/2", "box/edited"} {
		maple.write(t, name, 100_000+len(name))
	}
	folder, target := filepath.Join(maple.files, "box"), filepath.Join(oak.files, "box")
	first, err := maple.Publish(t.Context(), kith.Publication{Path: folder})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oak.Take(t.Context(), kith.Taking{Content: first.Content, Entry: first, Path: target, Follow: true}); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "complete", func() bool { return oak.holdingOf(t, first.Content).State == kith.HoldingComplete })
	if err := os.WriteFile(filepath.Join(target, "edited"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(folder, "goes")), os.Remove(filepath.Join(folder, "edited"))); err != nil {
		t.Fatal(err)
	}
	_, want := maple.write(t, "box/new", 50_000)
	second, err := maple.Publish(t.Context(), kith.Publication{Path: folder})
	if err != nil {
		t.Fatal(err)
	}
	oak.until(t, "at the newer version", func() bool {
		h, err := oak.Holding(second.Content)
		return err == nil && h.State == kith.HoldingComplete
	})
	oak.until(t, "rid of the older version", func() bool { _, err := oak.Holding(first.Content); return err != nil })
	oak.untilComplete(t, second.Content, filepath.Join(target, "new"), want)
	if _, err := os.Stat(filepath.Join(target, "goes")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is gone is still here: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(target, "edited")); err != nil || string(got) != "mine" {
		t.Errorf("what the person changed is gone: %q, %v", got, err)
	}
}
