package swarm

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
)

// TestRateOfMany has as many links as a content may have take blocks at a rate
// that is far below what they would: it holds, for all of them together.
func TestRateOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, each = 64 << 10, 10
		b := &bucket{rate: func(time.Time) int64 { return rate }}
		begun := time.Now()
		var links sync.WaitGroup
		for range maxLinks {
			links.Go(func() {
				for range each {
					b.wait(content.BlockSize, nil)
				}
			})
		}
		links.Wait()
		want := time.Duration(maxLinks*each*content.BlockSize/rate) * time.Second
		if took := time.Since(begun); took < want-burst || took > want+time.Second {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

// TestStopsWhileLimited stops a taker that has to wait long for the next block, and
// pauses what it takes: neither waits with it.
func TestStopsWhileLimited(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, _, _ := shared(t, v, 1<<20, 1000)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id}); err != nil {
		t.Fatal(err)
	}
	some := func() bool { return oak.holdingOf(t, id).Have > 0 }
	oak.until(t, "begun", some)
	begun := time.Now()
	if err := oak.Pause(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	if err := oak.Pause(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "going on", func() bool { return len(oak.holdingOf(t, id).Peers) > 0 })
	oak.stop()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
