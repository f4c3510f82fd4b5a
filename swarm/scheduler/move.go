package scheduler

import "time"

const (
	moveEvery = 20 * time.Millisecond
	tolerated = 128 // one block in so many may come twice before only safe moves are made
	tail      = 4   // last requests to a peer that may be moved at a time
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
	for _, to := range s.peers {
		for s.interesting(to) == 0 && len(to.asked) < to.depth(now, s.requests) && s.moveTo(now, to) {
		}
	}
}

// moveTo moves the request to a peer that gains most by it.
func (s *Scheduler) moveTo(now time.Duration, to *peer) bool {
	best := to.quickest + 2*time.Duration(len(to.asked)+1)*to.slowness(now) + 50*time.Millisecond
	careful := s.stats.Duplicates*tolerated > s.stats.Arrived
	var from *peer
	var index int
	for _, p := range s.peers {
		if p == to {
			continue
		}
		expected := p.expected(now)
		if expected <= best || careful && expected < 3*p.quickest {
			continue
		}
		last := -1
		for i := max(0, len(p.asked)-tail); i < len(p.asked); i++ {
			if block := p.asked[i].block; to.has(int(block)) && (last < 0 || s.available[block] >= s.available[p.asked[last].block]) {
				last = i
			}
		}
		if last >= 0 {
			best, from, index = expected, p, last
		}
	}
	if from == nil {
		return false
	}
	block := int(from.asked[index].block)
	from.answered(block)
	s.order(Cancel, from, block)
	s.stats.Moved++
	s.ask(now, to, block)
	return true
}

// expected is how long the answer to the last request will probably take from now on.
func (p *peer) expected(now time.Duration) time.Duration {
	return time.Duration(len(p.asked)) * p.slowness(now)
}
