package scheduler

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A Peer is the caller's number for a socket to another host that has or takes
// the content.
type Peer int

// Traits are what is known of a peer when it joins.
type Traits struct {
	Near    bool // on a network of ours: preferred
	Credits bool // it speaks credits: a kith host; otherwise a plain BitTorrent client
}

// Config is what a scheduler begins with.
type Config struct {
	Blocks   int    // of the content; at most 2^31-1
	Have     []byte // the blocks that are here, the first in the highest bit; nil: none. It is copied
	Group    int    // neighbouring blocks whose hashes travel together; 0: 32
	Seed     uint64 // of the random choices: not the same on each host
	Requests int    // most blocks asked of a peer at a time; 0: 512
	Wants    int    // most blocks that a peer may ask for at a time; more are rejected; 0: 2048
}

// A Scheduler decides for one content on one host. It is not safe for
// concurrent use.
type Scheduler struct {
	blocks   int
	group    int
	requests int
	wants    int
	random   *rand.Rand

	peers  []*peer // in the order in which they joined
	byName map[Peer]*peer

	have    bitmap
	lacking int
	needed  bitmap          // lacking, and asked of nobody
	unasked int             // how many are needed
	asked   map[int32]*peer // of whom a block is asked
	held    bitmap          // came and cannot be checked yet; nil while none was
	urgent  []urgentBlocks  // by deadline
	news    announcements   // blocks that arrived, for those who do not know
	came    time.Duration   // when the last one did
	pace    time.Duration   // between two of them, on average

	available []uint16 // of each block: how many peers, other than those that joined with everything, have it or were sent it
	fresh     int      // blocks that none of them has
	given     map[int32]*gift
	groups    []uint32 // groups with something fresh, perhaps, in random order
	begun     []run    // groups of which others have something
	pushed    bool     // the last block went by credit
	virtual   uint64   // what the last peer that was served had got

	orders []Order // that wait for Orders
	wake   time.Duration
	moveAt time.Duration // when requests may be moved again
	stats  Stats
}

// Stats count since the scheduler was made.
type Stats struct {
	Arrived    int // blocks that were taken and are right
	Duplicates int // blocks that arrived although they were here
	Wrong      int // blocks that arrived and were wrong
	Moved      int // requests that were taken from one peer and given to another
	Sent       int // blocks that Next gave out
	Fresh      int // of these, by credit
}

// Never is what Wake returns when nothing is due.
const Never time.Duration = math.MaxInt64

// New returns a scheduler without peers.
func New(c Config) *Scheduler {
	s := &Scheduler{
		blocks: c.Blocks, group: or(c.Group, 32), requests: or(c.Requests, 512), wants: or(c.Wants, 2048),
		random: rand.New(rand.NewPCG(c.Seed, 0)),
		byName: make(map[Peer]*peer), asked: make(map[int32]*peer), given: make(map[int32]*gift),
		have: fromWire(c.Have, c.Blocks), needed: newBitmap(c.Blocks),
		fresh: c.Blocks, wake: Never,
	}
	for i := range s.needed {
		s.needed[i] = ^s.have[i]
	}
	if rest := c.Blocks & 63; rest != 0 {
		s.needed[len(s.needed)-1] &= 1<<rest - 1
	}
	s.unasked = s.needed.count()
	s.lacking = s.unasked
	return s
}

func or(n, standard int) int {
	if n > 0 {
		return n
	}
	return standard
}

// Join adds a peer, of which nothing is known yet: it has nothing and chokes us. The
// caller sends it our bitmap as it is now; Orders announces what comes later. A peer
// that is here already leaves first.
func (s *Scheduler) Join(now time.Duration, name Peer, traits Traits) {
	s.Leave(now, name)
	if s.available == nil {
		s.available = make([]uint16, s.blocks)
	}
	p := &peer{
		name: name, traits: traits, choking: true, choked: true,
		heard: s.news.end(), gap: startGap, quickest: startWait, since: now, served: s.virtual,
	}
	s.byName[name] = p
	s.peers = append(s.peers, p)
}

// Leave removes a peer. What was asked of it is asked of others.
func (s *Scheduler) Leave(now time.Duration, name Peer) {
	p := s.byName[name]
	if p == nil {
		return
	}
	delete(s.byName, name)
	s.peers = slices.DeleteFunc(s.peers, func(q *peer) bool { return q == p })
	s.forget(p)
	s.release(p)
	s.orders = slices.DeleteFunc(s.orders, func(o Order) bool { return o.Peer == name })
}

// forget takes what a peer has out of the counts.
func (s *Scheduler) forget(p *peer) {
	for block, g := range s.given {
		if g.to == p {
			delete(s.given, block)
		}
	}
	p.bits.each(func(block int) { s.scarcer(block) })
	p.bits, p.count, p.interesting, p.candidates, p.run, p.backlog, p.unheard = nil, 0, 0, nil, run{}, 0, 0
}

// PeerHas tells that a peer announced a block.
func (s *Scheduler) PeerHas(now time.Duration, name Peer, block int) {
	if p := s.byName[name]; p != nil && s.valid(block) {
		s.heard(p, block)
		s.gain(p, block)
	}
}

// PeerHasAll tells that a peer announced everything.
func (s *Scheduler) PeerHasAll(now time.Duration, name Peer) {
	p := s.byName[name]
	if p == nil || p.all {
		return
	}
	if p.count > 0 {
		for block := range s.blocks {
			s.PeerHas(now, name, block)
		}
		return
	}
	p.all, p.bits, p.candidates = true, nil, nil
}

// PeerHasBitmap tells what a peer announced that it has, the first block in the
// highest bit. It adds to what was announced before.
func (s *Scheduler) PeerHasBitmap(now time.Duration, name Peer, wire []byte) {
	p := s.byName[name]
	if p == nil || p.all {
		return
	}
	announced := fromWire(wire, s.blocks)
	if p.count == 0 && announced.count() == s.blocks {
		s.PeerHasAll(now, name)
		return
	}
	announced.each(func(block int) { s.PeerHas(now, name, block) })
}

// PeerChokes tells that a peer answers no requests, or does from now on. What was
// asked of it is asked of others.
func (s *Scheduler) PeerChokes(now time.Duration, name Peer, choking bool) {
	p := s.byName[name]
	if p == nil {
		return
	}
	if p.choking = choking; choking {
		s.release(p)
	}
}

func (s *Scheduler) valid(block int) bool { return block >= 0 && block < s.blocks }

// gain notes that a peer has a block, or was sent it.
func (s *Scheduler) gain(p *peer, block int) {
	if p.has(block) {
		return
	}
	if p.bits == nil {
		p.bits = newBitmap(s.blocks)
	}
	p.bits.set(block)
	p.count++
	if s.available[block]++; s.available[block] == 1 {
		s.fresh--
	} else if g := s.given[int32(block)]; g != nil && !g.relayed && g.to != p {
		s.relayed(g, block)
	}
	if s.needed.has(block) {
		p.interesting++
		p.consider(block, s.random)
	}
}

// scarcer notes that a peer that had a block does not count any longer.
func (s *Scheduler) scarcer(block int) {
	if s.available[block]--; s.available[block] == 0 {
		s.fresh++
	}
}

// Has reports whether a block is here.
func (s *Scheduler) Has(block int) bool { return s.valid(block) && s.have.has(block) }

// Lacking returns how many blocks are not here.
func (s *Scheduler) Lacking() int { return s.lacking }

// Complete reports whether all blocks are here.
func (s *Scheduler) Complete() bool { return s.lacking == 0 }

// Interested reports whether a peer has something that is not here (BEP 3).
func (s *Scheduler) Interested(name Peer) bool {
	p := s.byName[name]
	if p == nil || s.lacking == 0 {
		return false
	}
	for i, word := range p.bits {
		if word&^s.have[i] != 0 {
			return true
		}
	}
	return p.all
}

// Expects reports whether a peer was asked for a block, or may choose what it
// sends. What a peer sends beyond that is not wanted any longer, or never was.
func (s *Scheduler) Expects(name Peer, block int) bool {
	p := s.byName[name]
	return p != nil && s.valid(block) && (s.asked[int32(block)] == p || p.credit > 0)
}

// PeerHave returns how many blocks a peer has, as far as it announced them or was sent them.
func (s *Scheduler) PeerHave(name Peer) int {
	if p := s.byName[name]; p == nil {
		return 0
	} else if p.all {
		return s.blocks
	} else {
		return p.count
	}
}

// PeerHasBlock reports whether a peer has a block.
func (s *Scheduler) PeerHasBlock(name Peer, block int) bool {
	p := s.byName[name]
	return p != nil && s.valid(block) && p.has(block)
}

// Asked returns how many requests to a peer are under way.
func (s *Scheduler) Asked(name Peer) int {
	if p := s.byName[name]; p != nil {
		return len(p.asked)
	}
	return 0
}

// Waiting returns how many blocks a peer asked for and was not sent yet.
func (s *Scheduler) Waiting(name Peer) int {
	if p := s.byName[name]; p != nil {
		return len(p.wants)
	}
	return 0
}

// Stats returns the counts.
func (s *Scheduler) Stats() Stats { return s.stats }
