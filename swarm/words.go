package swarm

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// pongPatience is how long the answer to a ping is waited for beyond a round trip: longer than
// a queue should be, and than a block takes that the peer is writing on a slow line.
const pongPatience = 300 * time.Millisecond

// extended takes a message of our own.
func (l *link) extended(m bittorrent.Message) error {
	x := l.exchange
	switch m.ExtendedID {
	case extCredit:
		if len(m.Payload) != 4 {
			return fmt.Errorf("credit of %d bytes: %w", len(m.Payload), kith.Invalid)
		}
		n := binary.BigEndian.Uint32(m.Payload)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.plan.PeerCredit(x.now(), l.number, int(min(n, maxCredit)))
		x.actLocked()
	case extHosts:
		if len(m.Payload)%len(kith.ID{}) != 0 || len(m.Payload) > maxIntroduced*len(kith.ID{}) {
			return fmt.Errorf("hosts in %d bytes: %w", len(m.Payload), kith.Invalid)
		}
		for text := m.Payload; len(text) > 0; text = text[len(kith.ID{}):] {
			x.meet(kith.ID(text[:len(kith.ID{})]))
		}
	case extPing:
		if len(m.Payload) != 8 {
			return fmt.Errorf("ping of %d bytes: %w", len(m.Payload), kith.Invalid)
		}
		l.mu.Lock()
		if len(l.pongs) < maxPongs {
			l.pongs = append(l.pongs, pong{[8]byte(m.Payload), time.Now()})
		}
		l.mu.Unlock()
		l.wake()
	case extPong:
		if len(m.Payload) == 16 {
			l.mu.Lock()
			if p := l.pings[binary.BigEndian.Uint64(m.Payload)]; p != nil && p.took == 0 && !p.written.IsZero() {
				p.took = time.Since(p.written)
				p.came = time.Duration(min(binary.BigEndian.Uint64(m.Payload[8:]), math.MaxInt64/1000)) * time.Microsecond
				close(p.answered)
			}
			l.mu.Unlock()
		}
	}
	return nil
}

const maxCredit = 1 << 16

func credit(n int) bittorrent.Message {
	return bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extCredit, Payload: binary.BigEndian.AppendUint32(nil, uint32(n))}
}

func (l *link) introduce(host kith.ID) {
	l.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extHosts, Payload: host[:]})
}

// A ping measures the way to the peer. It may have to wait for a block that is just
// being written, spread over the time that takes: that is no queue on the line, and is
// not counted. Nor is the way back, which has a queue of the peer's: the pong says when
// the ping came, by the peer's clock.
type ping struct {
	written  time.Time     // zero while it waits
	took     time.Duration // from then on, once it is answered
	came     time.Duration // since the peer began
	answered chan struct{}
}

// A pong waits to be written.
type pong struct {
	number [8]byte
	came   time.Time
}

const maxPongs = 16 // that wait; no peer of ours has more than two pings under way

// appendProbes appends the pings and pongs that are to go. The link is locked.
func (l *link) appendProbes(out []byte, now time.Time) []byte {
	word := func(id byte, payload []byte) {
		out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: id, Payload: payload})
	}
	for number, p := range l.pings {
		if p.written.IsZero() {
			p.written = now
			word(extPing, binary.BigEndian.AppendUint64(nil, number))
		}
	}
	for _, p := range l.pongs {
		came := p.came.Sub(l.exchange.swarm.began).Microseconds()
		word(extPong, binary.BigEndian.AppendUint64(p.number[:], uint64(came)))
	}
	l.pongs = l.pongs[:0]
	return out
}

// probe sends a ping, beside blocks that are under way, and returns it once it is answered. It gives
// up after patience, and then reports false and how long that was.
func (l *link) probe(ctx context.Context, patience time.Duration) (p *ping, lost time.Duration, ok bool) {
	p = &ping{answered: make(chan struct{})}
	l.mu.Lock()
	l.ping++
	number := l.ping
	l.pings[number] = p
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pings, number)
		l.mu.Unlock()
	}()
	l.wake()
	for wait := patience; ; {
		select {
		case <-p.answered:
			return p, 0, true
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, 0, false
		}
		l.mu.Lock()
		written, gone := p.written, l.gone
		l.mu.Unlock()
		switch {
		case gone:
			return nil, 0, false
		case written.IsZero():
			wait = patience
		default:
			if wait = patience - time.Since(written); wait <= 0 {
				return nil, time.Since(written), false
			}
		}
	}
}

// late measures how much longer than the shortest one the way to the peer takes.
func (l *link) late(ctx context.Context) (time.Duration, bool) {
	s := l.exchange.swarm
	path := s.pathTo(l.host)
	p, lost, ok := l.probe(ctx, pongPatience+path.RoundTrip)
	if !ok {
		return max(lost-path.RoundTrip, 0), lost > 0 // so long at least
	}
	return l.member.late(p.came-p.written.Sub(s.began), path, time.Now()), true
}

// An allowance bounds the messages of a peer that move nothing: each block that
// goes either way earns some, and so does time.
type allowance struct {
	used float64
	at   time.Time
}

const (
	maxWords     = 16384 // messages that move nothing
	wordsTime    = 1000  // a second are forgotten
	wordsEach    = 4     // for each block
	wordsUnasked = 16    // that a block counts which is here, or was not asked for
	wordBytes    = 1024  // that a message may have, or bring about, to count as one
	maxWanted    = 2000  // blocks; our own kind asks for 512 at most
)

// spend takes n messages down, or for a block puts some back, and reports
// whether it may be borne.
func (a *allowance) spend(n float64, now time.Time) bool {
	a.used = min(max(a.used-wordsTime*now.Sub(a.at).Seconds(), 0)+n, maxWords+1)
	a.used, a.at = max(a.used, 0), now
	return a.used <= maxWords
}

// bear fails with kind Invalid when the peer says much that moves nothing.
func (l *link) bear(m bittorrent.Message) error {
	x := l.exchange
	words := 1.0
	x.mu.Lock()
	defer x.mu.Unlock()
	switch m.Type {
	case bittorrent.Piece:
		if words = wordsUnasked; x.plan.Expects(l.number, int(m.Index)) && !x.plan.Has(int(m.Index)) {
			words = -wordsEach
		}
	case bittorrent.Have:
		if m.Index < uint32(x.description.Blocks()) && l.has[m.Index/8]&(0x80>>(m.Index%8)) == 0 {
			words = 0 // each block once
		}
	case bittorrent.Request:
		words -= float64(wordsEach * l.unpaid.Swap(0))
	case bittorrent.HashRequest:
		words += float64(min(m.HashLength, maxHashes)*uint32(len(m.Root))) / wordBytes
	default:
		words += float64(len(m.Payload)+len(m.Hashes)) / wordBytes
	}
	if !l.patient.spend(words, time.Now()) {
		return fmt.Errorf("it says much that moves nothing: %w", kith.Invalid)
	}
	return nil
}
