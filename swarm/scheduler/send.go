package scheduler

import (
	"math"
	"slices"
	"time"
)

// A Send is a block that goes to a peer now.
type Send struct {
	Peer  Peer
	Block int
	Fresh bool // by credit: the peer did not ask for it
}

// PeerWants tells that a peer asks for a block.
func (s *Scheduler) PeerWants(now time.Duration, name Peer, block int) {
	p := s.byName[name]
	if p == nil {
		return
	}
	if !s.valid(block) || !s.have.has(block) || len(p.wants) >= s.wants {
		s.orders = append(s.orders, Order{Kind: Reject, Peer: name, Block: block})
		return
	}
	if g := s.given[int32(block)]; g != nil && g.to == p && !g.arrived {
		if now < g.at+longWay {
			return // it is under way already
		}
		s.takeBack(block)
	}
	if slices.Contains(p.wants, int32(block)) {
		return
	}
	if len(p.wants) == 0 {
		p.served = max(p.served, s.virtual)
	}
	p.wants = append(p.wants, int32(block))
}

// PeerUnwants tells that a peer does not ask for a block any longer.
func (s *Scheduler) PeerUnwants(now time.Duration, name Peer, block int) {
	if p := s.byName[name]; p != nil && s.valid(block) {
		if i := slices.Index(p.wants, int32(block)); i >= 0 {
			p.wants = slices.Delete(p.wants, i, i+1)
		}
	}
}

// PeerCredit tells that a peer takes up to n blocks of our choice at a time.
func (s *Scheduler) PeerCredit(now time.Duration, name Peer, n int) {
	if p := s.byName[name]; p != nil {
		p.window = max(n, 0)
	}
}

// Next decides what goes next, when the uplink has room: to one of the peers for
// which ready reports that it can be sent something at once. It reports false
// when there is nothing for these. Within ready the caller must not call the scheduler.
//
// Peers that ask take turns, and of what a peer asks for it gets the block that the
// fewest have. What is fresh goes to the taker with the smallest backlog of
// blocks that it has not passed on, in turn with those that ask.
func (s *Scheduler) Next(now time.Duration, ready func(Peer) bool) (Send, bool) {
	asking, taking, most := s.candidates(ready)
	if s.pushed = taking != nil && s.fairPush(taking, asking); s.pushed {
		if block, ok := s.freshBlock(taking); ok {
			s.takeBack(block)
			s.given[int32(block)] = &gift{to: taking, at: now}
			taking.under++
			taking.backlog++
			s.stats.Fresh++
			return s.send(taking, block, true, most), true
		}
	}
	if asking == nil {
		return Send{}, false
	}
	return s.send(asking, s.rarestWant(asking), false, most), true
}

// candidates returns who is next of those that ask and of those that take by credit, if
// any, and how many blocks the peer lacks that lacks most.
func (s *Scheduler) candidates(ready func(Peer) bool) (asking, taking *peer, most int) {
	fresh := s.lacking == 0 && s.fresh > 0
	for _, p := range s.peers {
		if len(p.wants) > 0 || p.choked {
			most = max(most, s.lacks(p))
		}
		asks := len(p.wants) > 0 && (asking == nil || p.asksBefore(asking))
		takes := fresh && p.choked && p.window > p.under && (taking == nil || p.takesBefore(taking))
		if !asks && !takes || !ready(p.name) {
			continue
		}
		if asks {
			asking = p
		}
		if takes {
			taking = p
		}
	}
	return asking, taking, most
}

// asksBefore reports whether what p asks for goes before what q asks for. Who is choked
// asks only for what a reader waits for.
func (p *peer) asksBefore(q *peer) bool {
	if p.choked != q.choked {
		return p.choked
	}
	return p.served < q.served
}

// takesBefore reports whether a fresh block goes to p rather than to q.
func (p *peer) takesBefore(q *peer) bool {
	if p.backlog != q.backlog {
		return p.backlog < q.backlog
	}
	return p.served < q.served
}

// fairPush reports whether a fresh block goes before what a peer asks for: every second time where a
// reader waits, else in turn.
func (s *Scheduler) fairPush(taking, asking *peer) bool {
	switch {
	case asking == nil:
		return true
	case asking.choked:
		return !s.pushed
	}
	return taking.served <= asking.served
}

// Unsent tells that a block which Next named did not go out, as it could not be
// read; the caller calls Lost as well where it is not right any more. A peer that asked is refused.
func (s *Scheduler) Unsent(now time.Duration, sent Send) {
	p := s.byName[sent.Peer]
	if p == nil || !s.valid(sent.Block) {
		return
	}
	s.misses(p, sent.Block)
	if !sent.Fresh {
		s.order(Reject, p, sent.Block)
	}
}

// lacks returns how many blocks a peer has not, and was not sent.
func (s *Scheduler) lacks(p *peer) int {
	if p.all {
		return 0
	}
	return s.blocks - p.count
}

// turn is how far the clock of a peer advances with each block that it is sent. Who lacks more
// than others gets more, so that all are complete at the same time: those with
// few neighbours, and those that came late.
func turn(lacks, most int) uint64 {
	behind := float64(most) / float64(max(lacks, 1))
	return uint64(1024 * min(math.Pow(behind, 4), 16))
}

// send notes that a block goes to a peer, which counts as one that has it from now on.
func (s *Scheduler) send(p *peer, block int, fresh bool, most int) Send {
	s.gain(p, block)
	s.virtual = max(s.virtual, p.served)
	p.served += turn(s.lacks(p), most)
	p.sending = true
	s.stats.Sent++
	return Send{Peer: p.name, Block: block, Fresh: fresh}
}

// rarestWant takes from what a peer asks for, among the oldest, what the fewest have.
func (s *Scheduler) rarestWant(p *peer) int {
	best := 0
	for i, block := range p.wants[:min(len(p.wants), sample)] {
		if s.available[block] < s.available[p.wants[best]] {
			best = i
		}
	}
	block := p.wants[best]
	p.wants = slices.Delete(p.wants, best, best+1)
	return int(block)
}

// freshBlock returns a block that nobody has, of the taker's run: the first one, as neighbours
// in order cost a disk less, but where there are other seeds one by chance: two that happen
// on the same group then rarely happen on the same block.
func (s *Scheduler) freshBlock(p *peer) (int, bool) {
	for {
		if fresh := p.run.fresh(s.available); fresh > 0 {
			skip := 0
			if s.otherSeeds() {
				skip = s.random.IntN(fresh)
			}
			for block := p.run.start; ; block++ {
				if s.available[block] > 0 {
					continue
				}
				if skip--; skip < 0 {
					return block, true
				}
			}
		}
		if !s.newRun(p) {
			return 0, false
		}
	}
}

func (s *Scheduler) otherSeeds() bool {
	return slices.ContainsFunc(s.peers, func(p *peer) bool { return p.complete(s) })
}

// newRun gives a taker a group of which nobody has anything, by chance; else what is left of
// one that another seed has begun; else half of what is left for another taker.
func (s *Scheduler) newRun(p *peer) bool {
	for refilled := false; ; refilled = true {
		for len(s.groups) > 0 {
			group := int(s.groups[len(s.groups)-1])
			s.groups = s.groups[:len(s.groups)-1]
			r := run{group * s.group, min((group+1)*s.group, s.blocks)}
			switch fresh := r.fresh(s.available); {
			case fresh == 0 || s.running(r):
			case fresh < r.end-r.start:
				s.begun = append(s.begun, r)
			default:
				p.run = r
				return true
			}
		}
		if r, ok := s.mostFresh(); ok {
			p.run = r
			return true
		}
		if longest := s.longestRun(p); longest != nil {
			p.run = longest.run.halve()
			return true
		}
		if refilled || s.fresh == 0 {
			return false
		}
		s.allGroups()
	}
}

// mostFresh takes from the groups that others have begun one with much left: the
// best of a few.
func (s *Scheduler) mostFresh() (run, bool) {
	for len(s.begun) > 0 {
		few := max(0, len(s.begun)-16)
		best, most := -1, 0
		for i, r := range s.begun[few:] {
			if fresh := r.fresh(s.available); fresh > most && !s.running(r) {
				best, most = few+i, fresh
			}
		}
		if best < 0 {
			s.begun = s.begun[:few]
			continue
		}
		r := s.begun[best]
		s.begun = slices.Delete(s.begun, best, best+1)
		return r, true
	}
	return run{}, false
}

// allGroups lists all groups in random order.
func (s *Scheduler) allGroups() {
	s.groups = s.groups[:0]
	for group := range (s.blocks + s.group - 1) / s.group {
		s.groups = append(s.groups, uint32(group))
	}
	s.random.Shuffle(len(s.groups), func(i, j int) { s.groups[i], s.groups[j] = s.groups[j], s.groups[i] })
}

// running reports whether something fresh of r is kept for a taker.
func (s *Scheduler) running(r run) bool {
	return slices.ContainsFunc(s.peers, func(p *peer) bool {
		return p.run.start < r.end && r.start < p.run.end && p.run.fresh(s.available) > 0
	})
}

// longestRun returns who has most left, other than one taker.
func (s *Scheduler) longestRun(except *peer) *peer {
	var longest *peer
	most := 0
	for _, p := range s.peers {
		if p == except {
			continue
		}
		if fresh := p.run.fresh(s.available); fresh > most {
			longest, most = p, fresh
		}
	}
	return longest
}

// takeBack forgets that a block was given.
func (s *Scheduler) takeBack(block int) {
	g := s.given[int32(block)]
	if g == nil {
		return
	}
	delete(s.given, int32(block))
	if !g.arrived {
		g.to.under--
	}
	if !g.relayed {
		g.to.backlog--
	}
}

// heard notes that a peer announced a block that it was given.
func (s *Scheduler) heard(p *peer, block int) {
	g := s.given[int32(block)]
	if g == nil || g.to != p || g.arrived {
		return
	}
	g.arrived = true
	p.under--
	if g.relayed {
		delete(s.given, int32(block))
	}
}

// relayed notes that somebody else has a block that a peer was given.
func (s *Scheduler) relayed(g *gift, block int) {
	g.relayed = true
	g.to.backlog--
	if g.arrived {
		delete(s.given, int32(block))
	}
}
