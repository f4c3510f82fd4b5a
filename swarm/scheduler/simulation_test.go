package scheduler_test

import (
	"fmt"
	"testing"
	"time"
)

const mbit = 1e6

// bound is the least time in which one seed can bring bytes to takers.
func bound(bytes int64, seed link, takers []link) time.Duration {
	bits := float64(bytes) * 8
	down, up := takers[0].down, seed.up
	for _, t := range takers {
		down = min(down, t.down)
		up += t.up
	}
	return seconds(max(bits/seed.up, bits/down, float64(len(takers))*bits/up))
}

func TestSimulation(t *testing.T) {
	for _, n := range []int{4, 8, 16, 64} {
		t.Run(fmt.Sprint("homogeneous ", n), func(t *testing.T) {
			simulate(t, 32<<20, link{up: 10 * mbit, down: 50 * mbit}, same(n, link{up: 10 * mbit, down: 50 * mbit}), nil)
		})
	}
	for _, n := range []int{8, 16} {
		t.Run(fmt.Sprint("home ", n), func(t *testing.T) {
			simulate(t, 32<<20, link{up: 20 * mbit, down: 50 * mbit}, same(n, link{up: 5 * mbit, down: 50 * mbit}), nil)
		})
	}
}

func same(n int, l link) []link {
	list := make([]link, n)
	for i := range list {
		list[i] = l
	}
	return list
}

func simulate(t *testing.T, bytes int64, seed link, takers []link, f func(w *world)) {
	w := newWorld(bytes, 1)
	if len(takers) > 40 {
		w.degree = 30
	}
	s := w.add(seed, true)
	w.enter(s)
	for _, l := range takers {
		h := w.add(l, false)
		w.enter(h)
	}
	if f != nil {
		f(w)
	}
	best := bound(bytes, seed, takers)
	start := time.Now()
	ok := w.run(100 * best)
	var dup, moved, wrong int
	var extra float64
	var sum time.Duration
	for _, h := range w.hosts {
		st := h.state.Stats()
		dup += st.Duplicates
		moved += st.Moved
		wrong += st.Wrong
		extra += h.extra
		sum += h.done
	}
	total := float64(w.blocks * len(takers))
	t.Logf("ok %v ratio %.3f (mean %.3f) bound %.1fs, seed copies %.2f fresh %.2f, dup %.2f%%, moved %.1f%%, control %.2f%%, real %v events %d", ok, w.now.Seconds()/overhead/best.Seconds(), sum.Seconds()/float64(len(takers))/overhead/best.Seconds(), best.Seconds(),
		float64(s.sent)/float64(w.blocks), float64(s.state.Stats().Fresh)/float64(w.blocks), 100*float64(dup)/total, 100*float64(moved)/total, 100*extra/total/blockBytes, time.Since(start), w.serial)
}
