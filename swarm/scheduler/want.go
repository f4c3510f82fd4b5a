package scheduler

import (
	"slices"
	"time"
)

// urgentBlocks are blocks that a reader waits for.
type urgentBlocks struct {
	from, to int // to is not one of them
	deadline time.Duration
}

// Limits of what readers wait for.
const (
	urgentLimit  = 256 // blocks that are considered at a time
	urgentRanges = 64  // beyond these, what has the latest deadline is forgotten
)

// Want puts the blocks from (inclusive) to (exclusive) first until they are
// here: a reader waits for them. What has the earlier deadline comes first; of the same
// range the last call counts. They are asked for even of a peer that sends by credit.
func (s *Scheduler) Want(now time.Duration, from, to int, deadline time.Duration) {
	from, to = max(from, 0), min(to, s.blocks)
	if from >= to {
		return
	}
	s.urgent = slices.DeleteFunc(s.urgent, func(u urgentBlocks) bool { return u.from == from && u.to == to })
	at, _ := slices.BinarySearchFunc(s.urgent, deadline, func(u urgentBlocks, deadline time.Duration) int {
		if u.deadline <= deadline {
			return -1
		}
		return 1
	})
	s.urgent = slices.Insert(s.urgent, at, urgentBlocks{from, to, deadline})
	s.urgent = s.urgent[:min(len(s.urgent), urgentRanges)]
}

// Unwant takes back what was wanted: no reader waits.
func (s *Scheduler) Unwant() { s.urgent = s.urgent[:0] }

// eachUrgent calls f for what readers wait for that is not here, as far as it is considered.
func (s *Scheduler) eachUrgent(f func(block int)) {
	left := urgentLimit
	s.urgent = slices.DeleteFunc(s.urgent, func(u urgentBlocks) bool {
		here := true
		for block := u.from; block < u.to && left > 0; block++ {
			if !s.have.has(block) {
				here = false
				left--
				f(block)
			}
		}
		return here && left > 0
	})
}

// fillUrgent asks for what readers wait for.
func (s *Scheduler) fillUrgent(now time.Duration) {
	s.eachUrgent(func(block int) {
		if s.needed.has(block) {
			if p, _ := s.soonest(now, block); p != nil {
				s.ask(now, p, block)
			}
		}
	})
}

// moveUrgent asks another peer for what readers wait for, where that would be clearly earlier.
func (s *Scheduler) moveUrgent(now time.Duration) {
	s.eachUrgent(func(block int) {
		from := s.asked[int32(block)]
		if from == nil {
			return
		}
		i := slices.IndexFunc(from.asked, func(r request) bool { return r.block == int32(block) })
		expected := max(from.expected(now), now-from.asked[i].at) // what took long takes long
		if to, arrival := s.soonest(now, block); to != nil && to != from && expected > 2*arrival+moveMargin {
			s.moveRequest(now, from, to, block)
		}
	})
}

// soonest returns the peer that will probably send a block first, and when that is.
func (s *Scheduler) soonest(now time.Duration, block int) (best *peer, arrival time.Duration) {
	for _, p := range s.peers {
		if !p.has(block) || p.wrong >= suspicious || now < p.pause || p.choking && p.credit == 0 {
			continue
		}
		if len(p.asked) >= min(2*max(p.depth(now, s.requests), atLeast), s.requests) {
			continue
		}
		if expected := p.arrival(now); best == nil || expected < arrival {
			best, arrival = p, expected
		}
	}
	return best, arrival
}
