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

// urgentLimit is how many blocks that readers wait for are considered at a time.
const urgentLimit = 256

// Want puts the blocks from (inclusive) to (exclusive) first until they are
// here: a reader waits for them. What has the earlier deadline comes first. They
// are asked for even of a peer that sends by credit.
func (s *Scheduler) Want(now time.Duration, from, to int, deadline time.Duration) {
	from, to = max(from, 0), min(to, s.blocks)
	if from >= to {
		return
	}
	at, _ := slices.BinarySearchFunc(s.urgent, deadline, func(u urgentBlocks, deadline time.Duration) int {
		if u.deadline <= deadline {
			return -1
		}
		return 1
	})
	s.urgent = slices.Insert(s.urgent, at, urgentBlocks{from, to, deadline})
}

// Unwant takes back what was wanted: no reader waits.
func (s *Scheduler) Unwant() { s.urgent = s.urgent[:0] }

// fillUrgent asks for what readers wait for: of the peer that will probably send it first.
func (s *Scheduler) fillUrgent(now time.Duration) {
	left := urgentLimit
	s.urgent = slices.DeleteFunc(s.urgent, func(u urgentBlocks) bool {
		here := true
		for block := u.from; block < u.to; block++ {
			if s.have.has(block) {
				continue
			}
			here = false
			if left--; left < 0 {
				break
			}
			if s.needed.has(block) {
				if p := s.soonest(now, block); p != nil {
					s.ask(now, p, block)
				}
			}
		}
		return here
	})
}

// soonest returns the peer that will probably send a block first.
func (s *Scheduler) soonest(now time.Duration, block int) *peer {
	var best *peer
	var arrival time.Duration
	for _, p := range s.peers {
		if !p.has(block) || p.wrong >= suspicious || now < p.pause || p.choking && p.credit == 0 {
			continue
		}
		if len(p.asked) >= 2*max(p.depth(now, s.requests), atLeast) {
			continue
		}
		if expected := time.Duration(len(p.asked)+1) * p.slowness(now); best == nil || expected < arrival {
			best, arrival = p, expected
		}
	}
	return best
}
