package scheduler

import "time"

// Held tells that a block came from a peer, if that is not 0, and was kept although nobody
// can check it yet: a client of BitTorrent version 1 sent it. It is not asked for any more, and
// neither announced nor given to anybody, until Arrived or Unheld.
func (s *Scheduler) Held(now time.Duration, name Peer, block int) {
	if !s.valid(block) {
		return
	}
	p := s.byName[name]
	if p != nil {
		if at, ok := p.answered(block); ok {
			p.quickest = min(now-at, p.quickest+p.quickest/64)
		}
		p.progress(now)
	}
	if s.have.has(block) || s.isHeld(block) {
		s.stats.Duplicates++
		return
	}
	if owner := s.asked[int32(block)]; owner != nil {
		delete(s.asked, int32(block))
		if owner != p {
			owner.answered(block)
			s.order(Cancel, owner, block)
		}
	} else {
		s.notNeeded(block)
	}
	if s.held == nil {
		s.held = newBitmap(s.blocks)
	}
	s.held.set(block)
}

// Unheld tells that a block that was held is wrong, or is not here any more: it is asked
// for again.
func (s *Scheduler) Unheld(now time.Duration, block int) {
	if s.valid(block) && s.isHeld(block) {
		s.held.clear(block)
		s.need(block)
	}
}

func (s *Scheduler) isHeld(block int) bool { return s.held != nil && s.held.has(block) }

// PeerLacks takes back what a peer announced: it is not asked for that block, until
// PeerHas.
func (s *Scheduler) PeerLacks(now time.Duration, name Peer, block int) {
	if p := s.byName[name]; p != nil && s.valid(block) {
		s.misses(p, block)
	}
}

// Holds reports whether a block is held.
func (s *Scheduler) Holds(block int) bool { return s.valid(block) && s.isHeld(block) }
