package scheduler_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

const mbit = 1e6

// A scenario is a seed and takers, and what happens to them.
type scenario struct {
	name   string
	bytes  int64
	seed   link
	seeds  int // 0: one
	takers []link
	script func(w *world)
	absent float64       // seconds that takers are not there, of all of them
	delay  time.Duration // most on a path; 0: 30 ms
	queue  int           // blocks that an uplink holds beyond the one that leaves
	goal   float64       // most times the bound
}

var (
	ten  = link{up: 10 * mbit, down: 50 * mbit}
	home = link{up: 5 * mbit, down: 50 * mbit}
)

func scenarios(t *testing.T) []scenario {
	const full = 32 << 20
	crowd, small, most := 1000, int64(1<<20), 2.5 // in so short a time, delays count most
	if text := os.Getenv("KITH_TEST_MEMBERS"); text != "" {
		var err error
		if crowd, err = strconv.Atoi(text); err != nil || crowd < 2 {
			t.Fatalf("KITH_TEST_MEMBERS: %q is no number from 2 on", text)
		}
		small, most = 8<<20, 1.25
	}
	var list []scenario
	for _, n := range []int{4, 8, 16, 64} {
		goal := 1.02
		if n > 40 {
			goal = 1.045 // each knows 30 others, and tells them of each block
		}
		list = append(list, scenario{name: fmt.Sprint("homogeneous ", n), bytes: full, seed: ten, takers: same(n, ten), goal: goal})
	}
	for _, n := range []int{8, 16} {
		list = append(list, scenario{name: fmt.Sprint("home ", n), bytes: full, seed: link{up: 20 * mbit, down: 50 * mbit}, takers: same(n, home), goal: 1.025})
	}
	mixed := make([]link, 20)
	for i := range mixed {
		mixed[i] = link{up: []float64{1, 2, 5, 10, 20}[i%5] * mbit, down: []float64{20, 50, 100}[i%3] * mbit}
	}
	list = append(list,
		scenario{name: "mixed 20", bytes: full, seed: ten, takers: mixed, goal: 1.045},
		scenario{name: "mixed 20, strong seed", bytes: full, seed: link{up: 50 * mbit, down: 100 * mbit}, takers: mixed, goal: 1.03},
		scenario{name: "LAN 3", bytes: full, seed: link{up: 1000 * mbit, down: 1000 * mbit}, takers: same(3, link{up: 1000 * mbit, down: 1000 * mbit}), delay: 300 * time.Microsecond, goal: 1.03},
		scenario{name: "long paths 16", bytes: full, seed: ten, takers: same(16, ten), delay: 120 * time.Millisecond, goal: 1.045},
		scenario{name: "uplink queues 16", bytes: full, seed: ten, takers: same(16, ten), queue: 4, goal: 1.025},
		scenario{name: "long fast path", bytes: full, seed: link{up: 200 * mbit, down: 200 * mbit}, takers: same(1, link{up: 200 * mbit, down: 200 * mbit}), delay: 120 * time.Millisecond, goal: 1.55},
		scenario{name: "one to one", bytes: full, seed: ten, takers: same(1, ten), goal: 1.01},
		scenario{name: fmt.Sprint("flash crowd ", crowd), bytes: small, seed: ten, takers: same(crowd, ten), goal: most},
		scenario{name: "churn 12", bytes: full, seed: ten, takers: same(12, ten), goal: 1.055, script: churn(4), absent: 20},
		scenario{name: "churn home 12", bytes: full, seed: link{up: 20 * mbit, down: 50 * mbit}, takers: same(12, home), goal: 1.025, script: churn(4), absent: 20},
		scenario{name: "late 12", bytes: full, seed: ten, takers: same(12, ten), goal: 1.045, script: late(4, 10*time.Second), absent: 40},
		scenario{name: "free riders 15", bytes: full, seed: ten, takers: some(15, ten, 3, link{up: 10 * mbit, down: 50 * mbit, mute: true}), goal: 1.03},
		scenario{name: "seed leaves 12", bytes: full, seed: ten, takers: same(12, ten), goal: 1.02, script: seedLeaves},
		scenario{name: "two seeds 12", bytes: full, seeds: 2, seed: ten, takers: same(12, ten), goal: 1.03},
		scenario{name: "two weak seeds 12", bytes: full, seeds: 2, seed: ten, takers: same(12, link{up: 20 * mbit, down: 50 * mbit}), goal: 1.05},
		scenario{name: "liar and staller 12", bytes: full, seed: ten, takers: same(12, ten), goal: 1.035, script: bad},
	)
	return list
}

func same(n int, l link) []link { return some(n, l, 0, l) }

// some returns n links, of which the first few are others.
func some(n int, l link, few int, other link) []link {
	list := make([]link, n)
	for i := range list {
		list[i] = l
		if i < few {
			list[i] = other
		}
	}
	return list
}

// churn has takers leave when they have half, and come back 5 s later with that.
func churn(leavers int) func(*world) {
	return func(w *world) {
		left := make(map[*host]bool)
		w.onBlock = func(w *world, h *host) {
			if h.id <= leavers && !left[h] && h.state.Lacking() < w.blocks/2 {
				left[h] = true
				w.leave(h)
				w.at(w.now+5*time.Second, func() { w.enter(h) })
			}
		}
	}
}

// late has takers come when the others have begun.
func late(n int, after time.Duration) func(*world) {
	return func(w *world) {
		for _, h := range w.hosts[1 : n+1] {
			w.leave(h)
			w.at(after, func() { w.enter(h) })
		}
	}
}

// seedLeaves has the seed leave as soon as it was sent all blocks once.
func seedLeaves(w *world) {
	w.onBlock = func(w *world, h *host) {
		seed := w.hosts[0]
		if !seed.here {
			return
		}
		for block := range w.blocks {
			here := false
			for _, o := range w.hosts[1:] {
				here = here || o.state.Has(block)
			}
			if !here {
				return
			}
		}
		w.leave(seed)
	}
}

// bad brings in a host that sends wrong blocks, and one that sends none, both of
// which announce everything.
func bad(w *world) {
	for _, l := range []link{{up: 10 * mbit, down: 50 * mbit, liar: true}, {up: 10 * mbit, down: 50 * mbit, liar: true, mute: true}} {
		h := w.add(l, false)
		w.waiting--
		h.guest = true
		w.enter(h)
	}
}

// bound is the least time in which seeds can bring bytes to takers: the fluid bound of
// Kumar and Ross (2006), less what takers could have uploaded while they were away.
func (s scenario) bound() time.Duration {
	bits := float64(s.bytes) * 8
	n := float64(max(s.seeds, 1))
	down, up := s.takers[0].down, n*s.seed.up
	for _, t := range s.takers {
		down = min(down, t.down)
		if !t.mute {
			up += t.up
		}
	}
	away := s.absent * s.takers[0].up // nobody uploads meanwhile
	return seconds(max(bits/(n*s.seed.up), bits/down, (float64(len(s.takers))*bits+away)/up))
}

// TestSimulation holds what every scenario reaches, in virtual time. Ratios are to the bound
// with the headers around blocks, so that 16 takers at 1.02 need at most that much longer than 4.
func TestSimulation(t *testing.T) {
	t.Logf("%-22s %6s  %5s  %5s  %6s %6s  %5s  %6s  %6s  %5s", "scenario", "bound", "last", "mean", "copies", "fresh", "dups", "moved", "orders", "real")
	list := scenarios(t)
	if raced {
		list = list[:2]
	}
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.simulate(t)
		})
	}
}

func (s scenario) simulate(t *testing.T) {
	w := newWorld(s.bytes, 1)
	if s.delay > 0 {
		w.most = s.delay
	}
	w.queue = s.queue
	if len(s.takers) > 40 {
		w.degree = 30
	}
	for range max(s.seeds, 1) {
		w.add(s.seed, true)
	}
	for _, l := range s.takers {
		w.add(l, false)
	}
	w.enterAll()
	if s.script != nil {
		s.script(w)
	}
	best := s.bound()
	start := time.Now()
	if !w.run(20*best + time.Minute) {
		t.Errorf("%s: %d takers are not complete after %v", s.name, w.waiting, w.now)
	}
	var dups, moved, fresh, copies int
	var orders float64
	var sum, last time.Duration
	takers := 0
	for _, h := range w.hosts {
		st := h.state.Stats()
		dups += st.Duplicates
		moved += st.Moved
		fresh += st.Fresh
		orders += h.extra
		if h.seed {
			copies += h.sent
		} else if !h.guest {
			sum += h.done
			last = max(last, h.done)
			takers++
		}
	}
	total := float64(w.blocks * takers)
	ratio := last.Seconds() / overhead / best.Seconds()
	t.Logf("%-22s %5.1fs  %.3f  %.3f  %6.2f %6.2f  %4.2f%%  %5.1f%%  %5.2f%%  %.2fs", s.name, best.Seconds(), ratio, sum.Seconds()/float64(takers)/overhead/best.Seconds(),
		float64(copies)/float64(w.blocks), float64(fresh)/float64(w.blocks), 100*float64(dups)/total, 100*float64(moved)/total, 100*orders/total/blockBytes, time.Since(start).Seconds())
	if dups > w.blocks*takers/80 {
		t.Errorf("%s: %d of %d blocks came twice", s.name, dups, w.blocks*takers)
	}
	if ratio > s.goal {
		t.Errorf("%s takes %.3f times the bound, more than %.3f", s.name, ratio, s.goal)
	}
}

// TestReader has one of eight takers read at 4 Mbit/s from the beginning to the end. The seed
// alone has what it reads first, and gives by credit.
func TestReader(t *testing.T) {
	const ahead = 64 // blocks
	w := newWorld(16<<20, 1)
	w.add(ten, true)
	for range 8 {
		w.add(ten, false)
	}
	w.enterAll()
	reader, at, waited := w.hosts[1], 0, time.Duration(0)
	step := seconds(blockBytes / overhead * 8 / (4 * mbit))
	var since time.Duration
	var read func()
	read = func() {
		reader.state.Unwant()
		if at < w.blocks {
			reader.state.Want(w.now, at, at+ahead, w.now+ahead*step)
			w.step(reader)
		}
		if at < w.blocks && reader.state.Has(at) {
			if at > 0 {
				waited += w.now - since - step
			}
			since = w.now
			at++
			w.at(w.now+step, read)
		} else if at < w.blocks {
			w.at(w.now+time.Millisecond, read)
		}
	}
	w.at(time.Millisecond, read)
	w.run(time.Minute)
	for at < w.blocks && w.now < time.Minute {
		w.next()
	}
	t.Logf("the reader waited %v in all; it was done at %v", waited, w.now)
	if at < w.blocks || waited > time.Second {
		t.Errorf("the reader got %d of %d blocks, and waited for %v", at, w.blocks, waited)
	}
}
