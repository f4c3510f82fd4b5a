package scheduler

import (
	"math/bits"
	"slices"
	"time"
)

// Arrived tells that a block came from a peer and is right and stored. It may
// be asked for, and sent, from now on. A block that was here already counts as a
// duplicate.
func (s *Scheduler) Arrived(now time.Duration, name Peer, block int) {
	p := s.byName[name]
	if !s.valid(block) {
		return
	}
	if p != nil {
		if at, ok := p.answered(block); ok {
			p.quickest = min(now-at, p.quickest+p.quickest/64)
		} else if p.credit > 0 {
			p.unheard++
		}
		p.progress(now)
		if !p.has(block) {
			s.gain(p, block)
		}
	}
	if s.have.has(block) {
		s.stats.Duplicates++
		return
	}
	s.stats.Arrived++
	if owner := s.asked[int32(block)]; owner != nil {
		delete(s.asked, int32(block))
		if owner != p {
			owner.answered(block)
			s.order(Cancel, owner, block)
		}
	} else if s.isHeld(block) {
		s.held.clear(block)
	} else {
		s.notNeeded(block)
	}
	s.have.set(block)
	s.lacking--
	s.pace += (min(now-s.came, holdSlow) - s.pace) / 8
	s.came = now
	s.news.list = append(s.news.list, announcement{int32(block), now})
}

// Wrong tells that a peer sent a block that is not what the content's hash says.
// It is not asked of this peer again.
func (s *Scheduler) Wrong(now time.Duration, name Peer, block int) {
	p := s.byName[name]
	if p == nil || !s.valid(block) {
		return
	}
	s.stats.Wrong++
	p.wrong++
	s.misses(p, block)
	if p.wrong == suspicious {
		for _, r := range p.asked {
			s.order(Cancel, p, int(r.block))
		}
		s.release(p)
		s.orders = append(s.orders, Order{Kind: Expel, Peer: p.name, Reason: "sent wrong blocks"})
	}
}

// PeerRefused tells that a peer does not send a block that it was asked for (BEP
// 6). Where it answers requests, it does not have it.
func (s *Scheduler) PeerRefused(now time.Duration, name Peer, block int) {
	p := s.byName[name]
	if p == nil || !s.valid(block) || s.asked[int32(block)] != p {
		return
	}
	if p.refused++; p.refused >= 4*suspicious {
		p.refused = 0
		s.pause(now, p, "announced blocks and refused to send them")
	}
	s.misses(p, block)
}

// Lost tells that a block that was here is not right any more: it is taken again.
func (s *Scheduler) Lost(now time.Duration, block int) {
	if !s.valid(block) || !s.have.has(block) {
		return
	}
	s.have.clear(block)
	s.lacking++
	s.need(block)
	for _, p := range s.peers {
		if i := slices.Index(p.wants, int32(block)); i >= 0 {
			p.wants = slices.Delete(p.wants, i, i+1)
			s.order(Reject, p, block)
		}
	}
}

// misses notes that a peer has not what it announced; what it was asked for is
// asked of others.
func (s *Scheduler) misses(p *peer, block int) {
	if _, ok := p.answered(block); ok && s.asked[int32(block)] == p {
		delete(s.asked, int32(block))
		s.need(block)
	}
	if p.all {
		p.all = false
		for block := range s.blocks {
			s.gain(p, block)
		}
	}
	if p.has(block) {
		if g := s.given[int32(block)]; g != nil && g.to == p {
			s.takeBack(block)
		}
		p.bits.clear(block)
		p.count--
		s.scarcer(block)
		if s.needed.has(block) {
			p.interesting--
		}
	}
}

// need puts a block among those that are to be asked for.
func (s *Scheduler) need(block int) {
	s.needed.set(block)
	s.unasked++
	for _, p := range s.peers {
		if !p.all && p.has(block) {
			p.interesting++
			p.consider(block, s.random)
		}
	}
}

// notNeeded takes a block from those that are to be asked for.
func (s *Scheduler) notNeeded(block int) {
	s.needed.clear(block)
	s.unasked--
	for _, p := range s.peers {
		if !p.all && p.has(block) {
			p.interesting--
		}
	}
}

// interesting returns how many blocks a peer has that are to be asked for.
func (s *Scheduler) interesting(p *peer) int {
	if p.all {
		return s.unasked
	}
	return p.interesting
}

// answered takes a request off the list, and returns when it was made.
func (p *peer) answered(block int) (at time.Duration, ok bool) {
	for i := range p.asked {
		if p.asked[i].block == int32(block) {
			at := p.asked[i].at
			p.asked = slices.Delete(p.asked, i, i+1)
			return at, true
		}
	}
	return 0, false
}

// ask asks a peer for a block.
func (s *Scheduler) ask(now time.Duration, p *peer, block int) {
	if s.needed.has(block) {
		s.notNeeded(block)
	}
	if len(p.asked) == 0 {
		p.since = now
	}
	s.asked[int32(block)] = p
	p.asked = append(p.asked, request{int32(block), now})
	s.order(Request, p, block)
}

// release gives back what was asked of a peer.
func (s *Scheduler) release(p *peer) {
	for _, r := range p.asked {
		delete(s.asked, r.block)
		s.need(int(r.block))
	}
	p.asked = p.asked[:0]
}

// fill asks peers for blocks, each for what keeps it busy: one of each peer in
// turn, near ones first, so that what is rare is asked of many.
func (s *Scheduler) fill(now time.Duration) {
	s.fillUrgent(now)
	if s.unasked == 0 || len(s.peers) == 0 {
		return
	}
	for _, p := range s.peers {
		p.room = 0
		if depth := p.depth(now, s.requests); len(p.asked) <= depth-max(depth/together, 1) {
			p.room = depth - len(p.asked)
		}
	}
	first := s.random.IntN(len(s.peers))
	for _, near := range [...]bool{true, false} {
		for more := true; more; {
			more = false
			for i := range s.peers {
				p := s.peers[(first+i)%len(s.peers)]
				if p.traits.Near != near || s.interesting(p) == 0 || p.room == 0 {
					continue
				}
				if block, ok := s.rarest(p); ok {
					s.ask(now, p, block)
					p.room--
					more = true
				}
			}
		}
	}
}

// rarest returns a block to ask of a peer: of a sample of those that it has and we need,
// one that the fewest have, by chance among equals.
func (s *Scheduler) rarest(p *peer) (int, bool) {
	best, equals := -1, 0
	for again := false; ; again = true {
		keep := p.candidates[:0]
		for _, c := range p.candidates {
			block := int(c)
			if !s.needed.has(block) || !p.has(block) {
				continue
			}
			keep = append(keep, c)
			switch {
			case best < 0 || s.available[block] < s.available[best]:
				best, equals = block, 1
			case s.available[block] == s.available[best] && block != best:
				if equals++; s.random.IntN(equals) == 0 {
					best = block
				}
			}
		}
		p.candidates = keep
		if again || len(keep) >= sample/4 || len(keep) >= s.interesting(p) {
			return best, best >= 0
		}
		s.search(p)
		best, equals = -1, 0
	}
}

// search fills the sample of a peer's blocks from a random place on.
func (s *Scheduler) search(p *peer) {
	p.candidates = p.candidates[:0]
	words := len(s.needed)
	start := s.random.IntN(words)
	for i := range words {
		at := start + i
		if at >= words {
			at -= words
		}
		word := s.needed[at]
		if !p.all {
			word &= p.bits[at]
		}
		for ; word != 0; word &= word - 1 {
			p.candidates = append(p.candidates, int32(at<<6+bits.TrailingZeros64(word)))
			if len(p.candidates) == sample {
				return
			}
		}
	}
}

// stalled gives back what was asked of peers that send nothing.
func (s *Scheduler) stalled(now time.Duration) {
	for _, p := range s.peers {
		if now < p.pause && s.interesting(p) > 0 {
			s.wakeAt(p.pause)
		}
		if len(p.asked) == 0 {
			continue
		}
		limit := p.since + min(max(patience, 4*p.gap), 10*patience)
		if now < limit {
			s.wakeAt(limit)
			continue
		}
		for _, r := range p.asked {
			s.order(Cancel, p, int(r.block))
		}
		s.pause(now, p, "announced blocks and did not send them")
		s.release(p)
		s.wakeAt(p.pause)
	}
}

// pause asks nothing of a peer for a while, each time longer.
func (s *Scheduler) pause(now time.Duration, p *peer, reason string) {
	p.pause = now + min(firstPause<<min(p.stalls, 10), longPause)
	if p.stalls++; p.stalls == suspicious {
		s.orders = append(s.orders, Order{Kind: Report, Peer: p.name, Reason: reason})
	}
}
