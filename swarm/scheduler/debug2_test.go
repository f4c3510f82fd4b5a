package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"kith.alt/kith/swarm/scheduler"
)

func TestDebugMixed(t *testing.T) {
	for _, s := range scenarios(t) {
		if s.name != "mixed 20" {
			continue
		}
		w := newWorld(s.bytes, 1)
		w.add(s.seed, true)
		for _, l := range s.takers {
			w.add(l, false)
		}
		w.enterAll()
		for x := 0; x < 80; x++ {
			w.at(time.Duration(x)*time.Second/2+1, func() {
				var lack, wants []int
				for _, h := range w.hosts {
					lack = append(lack, h.state.Lacking())
					n := 0
					for p := range w.hosts {
						n += h.state.Waiting(scheduler.Peer(p))
					}
					wants = append(wants, n)
				}
				fmt.Println(w.now.Seconds(), "lack", lack, "wants", wants)
			})
		}
		w.run(time.Minute)
		for _, h := range w.hosts {
			fmt.Println(h.id, h.link.up/1e6, h.link.down/1e6, h.done, h.sent, h.state.Stats())
		}
	}
}
