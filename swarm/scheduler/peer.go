package scheduler

import (
	"math/rand/v2"
	"time"
)

// What is taken for granted of peers.
const (
	startGap   = 100 * time.Millisecond // between two blocks of a peer of which nothing is known
	startWait  = 200 * time.Millisecond // between a request and its block
	shortest   = 5 * time.Microsecond   // between two blocks
	ahead      = 250 * time.Millisecond // of a peer's rate are asked of it ahead
	atLeast    = 4                      // blocks are asked of a peer beyond that
	together   = 2                      // of that part of them at a time: messages cost a frame each
	patience   = 4 * time.Second        // without a block, before what was asked of a peer is asked of others
	firstPause = 2 * time.Second        // before a peer that stalled is asked again; doubles
	longPause  = time.Minute
	longWay    = 20 * time.Second // for a block that was given to arrive
	suspicious = 3                // stalls in a row, and wrong blocks, before a peer is reported
	sample     = 64               // blocks of which the rarest is chosen
)

// A peer is what is known of a peer.
type peer struct {
	name   Peer
	traits Traits

	// What it has.
	all   bool   // it joined with everything; bits is nil then
	bits  bitmap // announced, or sent to it
	count int

	// What is asked of it.
	choking     bool // it answers no requests
	asked       []request
	room        int           // for more, while requests are given out
	interesting int           // blocks it has and we need; not counted where it has everything
	candidates  []int32       // some of these, perhaps used meanwhile
	credit      int           // blocks that it may send unasked
	unheard     int           // blocks that came by credit and are not announced to it yet
	gap         time.Duration // between two blocks while some are asked, on average
	quickest    time.Duration // least time between a request and its block, forgotten slowly
	since       time.Duration // when the last block came, or the first was asked for
	pause       time.Duration // until when nothing is asked of it
	stalls      int           // since its last block
	wrong       int
	refused     int // since its last block

	// What it is sent.
	choked  bool // we answer no requests, and send by credit
	wants   []int32
	served  uint64 // blocks, on the clock by which peers take turns
	window  int    // blocks that it takes unasked at a time
	under   int    // of these, sent and not announced by it yet
	backlog int    // of what it was given fresh, blocks that nobody else has yet
	run     run
	heard   int  // announcements it was told
	sending bool // something is going to it: announcements go with that
}

// A request is a block that was asked for.
type request struct {
	block int32
	at    time.Duration
}

// A run is the neighbouring blocks that are kept for one taker: from start to end, which
// is not one of them.
type run struct{ start, end int }

// fresh returns how many of the blocks nobody has.
func (r run) fresh(available []uint16) int {
	fresh := 0
	for _, n := range available[r.start:r.end] {
		if n == 0 {
			fresh++
		}
	}
	return fresh
}

// halve takes a half from a run.
func (r *run) halve() run {
	half := *r
	half.start = (r.start + r.end) / 2
	r.end = half.start
	return half
}

// A gift is a block sent by credit.
type gift struct {
	at      time.Duration
	to      *peer
	arrived bool // it announced it
	relayed bool // somebody else has it
}

func (p *peer) has(block int) bool { return p.all || p.bits != nil && p.bits.has(block) }

func (p *peer) complete(s *Scheduler) bool { return p.all || p.count == s.blocks }

// consider keeps a block among those of which the next request is chosen.
func (p *peer) consider(block int, random *rand.Rand) {
	if len(p.candidates) < sample {
		p.candidates = append(p.candidates, int32(block))
	} else {
		p.candidates[random.IntN(sample)] = int32(block)
	}
}

// progress measures that a block came.
func (p *peer) progress(now time.Duration) {
	p.gap += (max(now-p.since, shortest) - p.gap) / 8
	p.gap = max(p.gap, shortest)
	p.since, p.stalls, p.refused, p.pause = now, 0, 0, 0
}

// slowness is the time between two blocks of a peer, with the one that is awaited.
func (p *peer) slowness(now time.Duration) time.Duration {
	if len(p.asked) == 0 {
		return p.gap
	}
	return max(p.gap, (now-p.since)/2)
}

// depth is how many requests keep a peer busy.
func (p *peer) depth(now time.Duration, most int) int {
	switch {
	case p.choking || now < p.pause || p.wrong >= suspicious:
		return 0
	case p.stalls > 0:
		return 1
	}
	return min(atLeast+int(ahead/p.gap), most)
}
