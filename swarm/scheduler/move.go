package scheduler

import "time"

const (
	moveMargin = 50 * time.Millisecond // that a move must gain at least
	moveEvery  = 20 * time.Millisecond
	tolerated  = 128 // one block in so many may come twice before only safe moves are made
	tail       = 4   // last requests to a peer that may be moved at a time
)

// move takes requests from peers that will answer late, and gives them to peers that
// have nothing to do and would answer clearly earlier: in the end game, when all is
// asked for, and whenever a peer falls behind.
func (s *Scheduler) move(now time.Duration) {
	if len(s.asked) == 0 {
		return
	}
	if now < s.moveAt {
		s.wakeAt(s.moveAt)
		return
	}
	s.moveAt = now + moveEvery
	s.wakeAt(s.moveAt)
	s.moveUrgent(now)
	for _, to := range s.peers {
		for s.interesting(to) == 0 && len(to.asked) < to.depth(now, s.requests) && s.moveTo(now, to) {
		}
	}
}

// moveTo moves the request to a peer that gains most by it: of the last ones to a peer,
// what most have, which is what the peer will send last.
func (s *Scheduler) moveTo(now time.Duration, to *peer) bool {
	careful := s.stats.Duplicates*tolerated > s.stats.Arrived
	longest := 2*to.arrival(now) - to.quickest + moveMargin
	var from *peer
	var block int
	for _, p := range s.peers {
		expected := p.expected(now)
		if p == to || expected <= longest || careful && expected < 3*p.quickest {
			continue
		}
		last := -1
		for _, r := range p.asked[max(0, len(p.asked)-tail):] {
			if to.has(int(r.block)) && (last < 0 || s.available[r.block] >= s.available[last]) {
				last = int(r.block)
			}
		}
		if last >= 0 {
			longest, from, block = expected, p, last
		}
	}
	if from == nil {
		return false
	}
	s.moveRequest(now, from, to, block)
	return true
}

func (s *Scheduler) moveRequest(now time.Duration, from, to *peer, block int) {
	from.answered(block)
	s.order(Cancel, from, block)
	s.stats.Moved++
	s.ask(now, to, block)
}

// expected is how long the answer to the last request to a peer will probably take.
func (p *peer) expected(now time.Duration) time.Duration {
	return time.Duration(len(p.asked)) * p.slowness(now)
}

// arrival is how long the answer to one more request would probably take.
func (p *peer) arrival(now time.Duration) time.Duration {
	return p.quickest + time.Duration(len(p.asked)+1)*p.slowness(now)
}
