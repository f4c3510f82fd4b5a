package scheduler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"kith.alt/kith/swarm/scheduler"
)

// TestChaos has hosts come and go at random, lose blocks, stop sending and begin
// again, while one host that has everything stays. All must become complete.
func TestChaos(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(12<<20, seed)
		random := rand.New(rand.NewPCG(seed, 7))
		hosts := 2 + random.IntN(12)
		w.degree = 3 + random.IntN(10)
		w.add(link{up: 4 * mbit, down: 20 * mbit}, true)
		for range hosts {
			w.add(link{up: 1 * mbit * float64(1+random.IntN(20)), down: 20 * mbit}, false)
		}
		w.enterAll()
		var strike func()
		strike = func() {
			if w.now > 20*time.Second {
				for _, h := range w.hosts {
					h.link.mute = false
					if !h.here {
						w.enter(h)
					}
					w.join(h, w.hosts[0]) // whom all find at last
				}
				return
			}
			h := w.hosts[1+random.IntN(hosts)]
			switch what := random.IntN(4); {
			case what == 0 && h.here:
				w.leave(h)
			case what == 1 && !h.here:
				w.enter(h)
			case what == 2:
				h.link.mute = !h.link.mute
			case what == 3 && h.here:
				if block := random.IntN(w.blocks); h.state.Has(block) {
					if h.state.Complete() {
						w.waiting++
					}
					h.bits[block>>3] &^= 0x80 >> (block & 7)
					h.state.Lost(w.now, block)
					w.step(h)
				}
			}
			w.at(w.now+time.Duration(random.IntN(200))*time.Millisecond, strike)
		}
		w.at(0, strike)
		if !w.run(5 * time.Minute) {
			t.Errorf("seed %d: %d of %d takers are not complete after %v", seed, w.waiting, hosts, w.now)
		}
		for _, h := range w.hosts {
			for _, r := range h.reports {
				if r.Kind == scheduler.Expel {
					t.Errorf("seed %d: host %d expels %d, who %s", seed, h.id, r.Peer, r.Reason)
				}
			}
		}
	}
}
