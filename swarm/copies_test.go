package swarm

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
)

// publishes has a host publish n files of a size.
func (h *villager) publishes(t *testing.T, n, size int) []kith.Entry {
	t.Helper()
	var entries []kith.Entry
	for i := range n {
		path, _ := h.write(t, fmt.Sprintf("%s-%d", h.name, i), size+i)
		entry, err := h.Publish(t.Context(), kith.Publication{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// copies takes an entry as a copy, and waits until it is complete.
func (h *villager) copies(t *testing.T, entry kith.Entry) {
	t.Helper()
	if _, err := h.Take(t.Context(), kith.Taking{Content: entry.Content, Entry: entry}); err != nil {
		t.Fatal(err)
	}
	h.until(t, "complete", func() bool { return h.holdingOf(t, entry.Content).State == kith.HoldingComplete })
}

// has reports which of entries are here.
func (h *villager) has(entries ...kith.Entry) (here []bool) {
	for _, e := range entries {
		_, err := h.Holding(e.Content)
		here = append(here, err == nil)
	}
	return here
}

// TestCopies has copies take more than they may: room is made before the next one
// comes, those that were not used for longest go, and what is pinned stays.
func TestCopies(t *testing.T) {
	t.Parallel()
	const size = 20 * content.BlockSize
	v := newVillage(t, "maple", "elm", "oak")
	oak := v.host("oak")
	if err := oak.SetLimits(t.Context(), kith.SwarmLimits{Copies: 3*size + 100, MemberDisk: 2*size + 100}); err != nil {
		t.Fatal(err)
	}
	maple, elm := v.host("maple").publishes(t, 4, size), v.host("elm").publishes(t, 3, size)
	expect := func(what string, entries []kith.Entry, want ...bool) {
		t.Helper()
		if got := oak.has(entries...); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v are here, want %v", what, got, want)
		}
		if used := oak.Swarm.store.Usage(); used > 5*size {
			t.Errorf("%s: %d bytes are used", what, used)
		}
	}
	for i, entry := range maple[:3] {
		oak.copies(t, entry)
		oak.setUsed(entry, i)
	}
	expect("of one member", maple, false, true, true, false)
	oak.copies(t, elm[0])
	oak.setUsed(elm[0], 3)
	oak.copies(t, elm[1])
	oak.setUsed(elm[1], 4)
	expect("of two members", maple, false, false, true, false)
	expect("of two members", elm, true, true, false)

	if err := oak.Pin(t.Context(), maple[2].Content, true); err != nil {
		t.Fatal(err)
	}
	oak.stop()
	oak.start(t)
	if !oak.holdingOf(t, maple[2].Content).Pinned {
		t.Error("a pin does not outlive a restart")
	}
	oak.copies(t, maple[0]) // what is pinned does not count
	oak.copies(t, maple[1])
	expect("with a pin", maple, true, true, true, false)
	if err := oak.Pin(t.Context(), maple[2].Content, false); err != nil {
		t.Fatal(err)
	}
	if err := oak.SetLimits(t.Context(), kith.SwarmLimits{Copies: size + 100}); err != nil {
		t.Fatal(err)
	}
	if n := len(oak.Holdings()); n != 1 {
		t.Errorf("%d copies where one may be", n)
	}
	if err := oak.Pin(t.Context(), kith.ContentID{1}, true); !errors.Is(err, kith.NotFound) {
		t.Errorf("pin of nothing: %v", err)
	}
}

// setUsed says when a copy was used last.
func (h *villager) setUsed(entry kith.Entry, order int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	used := h.holdings[entry.Content]
	used.used = used.used.Add(time.Duration(order-100) * time.Second)
}

// TestCopyTooLarge takes a copy that can never fit: it stops with a reason, and
// nothing goes for it.
func TestCopyTooLarge(t *testing.T) {
	t.Parallel()
	const size = 20 * content.BlockSize
	v := newVillage(t, "maple", "elm", "oak")
	oak := v.host("oak")
	if err := oak.SetLimits(t.Context(), kith.SwarmLimits{Copies: 3 * size, MemberDisk: size}); err != nil {
		t.Fatal(err)
	}
	small, large := v.host("maple").publishes(t, 1, size)[0], v.host("elm").publishes(t, 1, size+1)[0]
	oak.copies(t, small)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: large.Content, Entry: large}); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "paused", func() bool {
		h := oak.holdingOf(t, large.Content)
		return h.State == kith.HoldingPaused && h.Reason != ""
	})
	if h := oak.holdingOf(t, large.Content); h.Have != 0 || h.Received != 0 {
		t.Errorf("it was taken all the same: %+v", h)
	}
	if got := oak.has(small); !got[0] {
		t.Error("another copy went for it")
	}
}
