package main

import (
	"slices"
	"time"

	"kith.alt/kith/kithtest/netlab"
)

// A plan is who comes when. Only limit is needed.
type plan struct {
	limit    time.Duration
	begins   func()                           // called just before the clock starts
	comes    func(taker int) time.Duration    // after the start
	away     time.Duration                    // so long the first taker is gone once it has half
	received func(*netlab.Computer) (n int64) // so far, by a computer
}

// A result is what it was like.
type result struct {
	took       []time.Duration // until each taker's file was complete, from the start
	seed, rest time.Duration   // processor time of the seed, and of the takers
}

// last is when the last taker had it.
func (r result) last() time.Duration { return slices.Max(r.took) }

// transfer has all takers take the file, and compares what they have with it.
func (s *swarm) transfer(c client, p plan) result {
	c.share(s)
	takers := s.hosts[1:]
	for _, h := range takers {
		c.prepare(h)
	}
	if c.settle != nil {
		c.settle(s)
	}
	<-time.After(time.Second) // what a start leaves to do is done
	r := result{took: make([]time.Duration, len(takers))}
	seed, rest := s.seed().cpu(), cpuOf(takers)
	complete := make([]func() bool, len(takers))
	missing, gone := len(takers), time.Duration(0)
	half := int64(0)
	if p.away > 0 {
		half = p.received(takers[0].Computer) + s.size/2
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	if p.begins != nil {
		p.begins()
	}
	for began := time.Now(); missing > 0; <-tick.C {
		now := time.Since(began)
		if now > p.limit {
			s.t.Fatalf("%s: %d of %d takers have not got the file after %v", c.name, missing, len(takers), p.limit)
		}
		if p.away > 0 && gone == 0 && p.received(takers[0].Computer) >= half {
			takers[0].stop()
			complete[0], gone = nil, now
		}
		for i, h := range takers {
			switch {
			case r.took[i] > 0:
				h.living()
			case complete[i] != nil:
				if h.living(); complete[i]() {
					r.took[i] = time.Since(began)
					missing--
				}
			case i == 0 && gone > 0 && now >= gone+p.away:
				c.prepare(h)
				complete[i] = c.take(h)
			case !(i == 0 && gone > 0) && (p.comes == nil || now >= p.comes(i)):
				complete[i] = c.take(h)
			}
		}
		s.seed().living()
	}
	r.seed, r.rest = s.seed().cpu()-seed, cpuOf(takers)-rest
	return r
}

// compare fails unless all takers have what the seed has.
func (s *swarm) compare() {
	want, err := sumOf(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range s.hosts[1:] {
		got, err := sumOf(h.out())
		if err != nil {
			s.t.Fatal(err)
		}
		if got != want {
			s.t.Fatalf("%s has another file", h.Name)
		}
	}
}

func cpuOf(hosts []*host) (sum time.Duration) {
	for _, h := range hosts {
		sum += h.cpu()
	}
	return sum
}
