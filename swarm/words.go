package swarm

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// pongPatience is how long the answer to a ping is waited for beyond the shortest
// round trip: longer than a queue should be, and short, as what is sent meanwhile makes it longer.
const pongPatience = 100 * time.Millisecond

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
		l.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extPong, Payload: m.Payload})
	case extPong:
		if len(m.Payload) == 8 {
			l.mu.Lock()
			if answered := l.pings[binary.BigEndian.Uint64(m.Payload)]; answered != nil {
				delete(l.pings, binary.BigEndian.Uint64(m.Payload))
				close(answered)
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

// roundTrip measures one, beside blocks that are under way.
func (l *link) roundTrip(ctx context.Context, patience time.Duration) (time.Duration, bool) {
	answered := make(chan struct{})
	l.mu.Lock()
	l.ping++
	number := l.ping
	l.pings[number] = answered
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pings, number)
		l.mu.Unlock()
	}()
	begun := time.Now()
	l.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extPing, Payload: binary.BigEndian.AppendUint64(nil, number)})
	select {
	case <-answered:
	case <-time.After(patience): // so long at least
	case <-ctx.Done():
		return 0, false
	}
	return time.Since(begun), true
}

// late measures how much longer than the shortest one a round trip takes.
func (l *link) late(ctx context.Context) (time.Duration, bool) {
	path := l.exchange.swarm.pathTo(l.host)
	took, ok := l.roundTrip(ctx, pongPatience+l.member.shortest(0, path))
	if !ok {
		return 0, false
	}
	return took - l.member.shortest(took, path), true
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
