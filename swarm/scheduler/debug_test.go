package scheduler_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kith.alt/kith/swarm/scheduler"
)

func TestDebug(t *testing.T) {
	w := newWorld(32<<20, 1)
	w.degree = 30
	l := link{up: 10 * mbit, down: 50 * mbit}
	w.add(l, true)
	for range 64 {
		w.add(l, false)
	}
	w.enterAll()
	for x := 0; x < 64; x++ {
		w.at(time.Duration(x)*time.Second/2+1, func() {
			var lack, sent, idle, wants []int
			for _, h := range w.hosts {
				lack = append(lack, h.state.Lacking())
				sent = append(sent, h.sent)
				if h.queued == 0 {
					idle = append(idle, h.id)
				}
				n := 0
				for p := range w.hosts {
					n += h.state.Waiting(scheduler.Peer(p))
				}
				wants = append(wants, n)
			}
			slices.Sort(lack)
			s := slices.Clone(sent)
			slices.Sort(s)
			fmt.Printf("%.1f lack %v..%v..%v sent %v..%v..%v seed %v, idle %d, wants %v seedfresh %d\n", w.now.Seconds(), lack[1], lack[32], lack[63:], s[0], s[32], s[64], sent[0], len(idle), wants[:12], w.hosts[0].state.Stats().Fresh)
		})
	}
	w.run(time.Minute)
	fmt.Println(w.now)
}
