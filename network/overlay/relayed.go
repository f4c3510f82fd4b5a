package overlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

const (
	maxRelays    = 4  // tried for one peer
	unlistedMost = 2  // of them such as the peer's record does not name
	maxArriving  = 12 // carriers that come through one link to a relay and are not up yet
)

// relays are the ways to a peer through other members: those that its record
// names, then others that we have a direct carrier to, the nearest first. They
// wait where an address has answered before, and else begin with the rest.
func (o *Overlay) relays(id kith.ID, addresses []netip.AddrPort) []way {
	var listed []kith.ID
	if o.cfg.Relays != nil {
		listed = o.cfg.Relays(id)
	}
	type neighbour struct {
		id   kith.ID
		rank int // listed with a carrier, only listed, only with a carrier
		rtt  time.Duration
	}
	var all []neighbour
	o.mu.Lock()
	for other, p := range o.peers {
		if l := p.current; other != id && l != nil && l.via.IsZero() && !l.ended() {
			n := neighbour{other, 2, l.rtt()}
			if slices.Contains(listed, other) {
				n.rank = 0
			}
			all = append(all, n)
		}
	}
	o.mu.Unlock()
	for _, other := range listed {
		if other != id && other != o.id && !slices.ContainsFunc(all, func(n neighbour) bool { return n.id == other }) {
			all = append(all, neighbour{other, 1, 0})
		}
	}
	slices.SortFunc(all, func(a, b neighbour) int { return cmp.Or(a.rank-b.rank, int(a.rtt-b.rtt)) })

	after := time.Duration(0)
	if slices.ContainsFunc(addresses, func(a netip.AddrPort) bool { return o.nearby(a.Addr()) || o.contacts.known(unmapped(a)) }) {
		after = relayDelay
	}
	var ways []way
	unlisted := 0
	for _, n := range all {
		if n.rank == 2 {
			if unlisted++; unlisted > unlistedMost {
				break
			}
		}
		if len(ways) < maxRelays {
			ways = append(ways, way{carrier: carrierRelay, via: n.id, after: after + time.Duration(len(ways))*relayDelay})
		}
	}
	return ways
}

// relayedConn asks a relay for a flow of bytes to the peer. What the caller
// writes need not wait for the relay's verdict.
func (o *Overlay) relayedConn(ctx context.Context, relay, to kith.ID) (net.Conn, error) {
	l := o.directLink(relay)
	if l == nil {
		var err error
		if l, err = o.connectDirect(ctx, relay, nil); err != nil {
			return nil, errNoRelay(err)
		}
		if !l.via.IsZero() {
			return nil, fmt.Errorf("relay %s is reached by a relay itself: %w", relay.Short(), kith.Unreachable)
		}
	}
	st, err := l.openStream(ctx)
	if err != nil {
		return nil, errNoRelay(l.lost(err))
	}
	if _, err := st.Write(header{kind: forRelaying, host: to, candidates: o.candidates()}.append(nil)); err != nil {
		st.reset()
		return nil, errNoRelay(l.lost(err))
	}
	return &streamConn{stream: st, asked: true}, nil
}

// errNoRelay hides what kind of error kept us from a relay: it is no answer of
// the peer's.
func errNoRelay(err error) error { return fmt.Errorf("relay (%v): %w", err, kith.Unreachable) }

// receiveRelayed answers a carrier that comes through a relay, and dials the
// peer directly at the same time.
func (o *Overlay) receiveRelayed(l *link, st stream, h header) {
	release, ok := o.gate.enter(&net.TCPAddr{})
	defer l.arriving.Add(-1)
	if l.arriving.Add(1) > maxArriving || !ok || !l.via.IsZero() {
		o.metrics.turnedAway.Add(1)
		release()
		st.reset()
		return
	}
	defer release()
	o.spawn(func() { o.dialBack(h.host, h.candidates) })
	conn := &streamConn{stream: st}
	if err := o.receive(conn, origin{via: l.peer, caller: h.host}, release); err != nil {
		o.metrics.turnedAway.Add(1)
		o.log.Debug("connection turned away", "relay", l.peer.Short(), "caller", h.host.Short(), "err", err)
	}
}

// dialBack dials a peer that is on its way to us through a relay where it says
// that it is. Its router lets us in, as it has sent packets to us already. All
// of this is the relay's word, so there is one such dial to a member at a time.
func (o *Overlay) dialBack(peer kith.ID, candidates []netip.AddrPort) {
	if peer.IsZero() || peer == o.id || o.admit(peer, nil) != nil || o.directLink(peer) != nil {
		return
	}
	o.mu.Lock()
	p := o.peerLocked(peer)
	under := p.dialledBack
	p.dialledBack = true
	o.mu.Unlock()
	if under {
		return
	}
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		p.dialledBack = false
		o.forgetLocked(peer, p)
	}()
	ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
	defer cancel()
	ways := o.directWays(peer, o.worthDialling(candidates))
	begun := new(atomic.Int32)
	for i := range ways {
		ways[i].begun = begun
	}
	if _, err := o.reach(ctx, peer, ways); err != nil {
		o.log.Debug("dial back", "peer", peer.Short(), "candidates", candidates, "err", err)
	}
}

const (
	improveFirst = 2 * time.Second // after a relayed carrier came up; longer each time,
	improveMost  = 5 * time.Minute // up to this
	punchPause   = time.Second     // between exchanges that a peer may ask for
)

// improve seeks a better path as long as the carrier is in use and is relayed, or
// the other kind of carrier would be better there and has not got through yet.
func (o *Overlay) improve(l *link) {
	other := ""
	switch l.rank() {
	case 1:
		other = carrierQUIC
	case 3:
		other = carrierTLS
	}
	if !l.dialled || l.via.IsZero() && (other == "" || len(o.cfg.Carriers) > 0) {
		return // the peer does, or there is none
	}
	if !l.via.IsZero() {
		o.tryCandidates(l, l.candidates)
	}
	for pause := improveFirst; ; pause = min(2*pause, improveMost) {
		timer := time.NewTimer(pause + rand.N(pause/4))
		select {
		case <-timer.C:
		case <-l.hint:
			pause = improveFirst / 2
		case <-l.done():
		}
		timer.Stop()
		switch {
		case l.ended():
			return
		case o.currentLink(l.peer) != l: // it may come into use again
		case l.via.IsZero():
			o.tryOther(l, other)
		default:
			o.punchTogether(l)
		}
	}
}

// tryOther dials a peer by another kind of carrier where it has answered by one.
func (o *Overlay) tryOther(l *link, carrier string) {
	ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
	defer cancel()
	if _, err := o.reach(ctx, l.peer, o.ways([]netip.AddrPort{l.remote()}, []string{carrier})); err != nil {
		o.log.Debug("the other carrier does not get through", "peer", l.peer.Short(), "carrier", carrier, "err", err)
	}
}

// punchTogether has both ends of a relayed carrier dial at the same moment, so
// that each one's router lets the other's packets in.
func (o *Overlay) punchTogether(l *link) {
	candidates, err := o.exchangeCandidates(l)
	if err != nil {
		o.log.Debug("exchange addresses", "peer", l.peer.Short(), "err", err)
		return
	}
	o.tryCandidates(l, candidates)
}

// hasHint has improve try again soon: a direct path may be there now.
func (l *link) hasHint() {
	select {
	case l.hint <- struct{}{}:
	default:
	}
}

// tryCandidates dials the peer directly while l, which is relayed, is in use.
func (o *Overlay) tryCandidates(l *link, candidates []netip.AddrPort) {
	ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
	defer cancel()
	if o.currentLink(l.peer) != l {
		return
	}
	if _, err := o.connectDirect(ctx, l.peer, o.worthDialling(candidates)); err != nil {
		o.log.Debug("no direct path", "peer", l.peer.Short(), "err", err)
	}
}

func (o *Overlay) exchangeCandidates(l *link) ([]netip.AddrPort, error) {
	o.observe()
	ctx, cancel := context.WithTimeout(o.ctx, handshakePatience)
	defer cancel()
	st, err := l.openStream(ctx)
	if err != nil {
		return nil, err
	}
	defer st.reset()
	deadline, _ := ctx.Deadline()
	st.SetReadDeadline(deadline)
	st.SetWriteDeadline(deadline)
	if _, err := st.Write(header{kind: forPunching, candidates: o.candidates()}.append(nil)); err != nil {
		return nil, err
	}
	h, err := readHeader(st)
	if err == nil && h.kind != forPunching {
		err = fmt.Errorf("answer of kind %d: %w", h.kind, kith.Invalid)
	}
	return h.candidates, err
}

// punch answers exchangeCandidates, and dials when the answer has arrived, by
// the round-trip time.
func (o *Overlay) punch(l *link, st stream, h header) {
	now := time.Now().UnixNano()
	if l.via.IsZero() || now-l.punched.Swap(now) < int64(punchPause) {
		st.reset()
		return
	}
	o.observe()
	st.SetWriteDeadline(time.Now().Add(headerPatience))
	_, err := st.Write(header{kind: forPunching, candidates: o.candidates()}.append(nil))
	st.close()
	if err != nil {
		return
	}
	timer := time.NewTimer(min(l.rtt()/2, time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-o.ctx.Done():
		return
	}
	o.tryCandidates(l, h.candidates)
}

// A streamConn is a stream as the net.Conn that TLS wants. It has no addresses.
type streamConn struct {
	stream
	asked   bool // the relay's verdict comes first
	verdict sync.Once
	refusal error
}

func (c *streamConn) Read(p []byte) (int, error) {
	if err := c.refused(); err != nil {
		return 0, err
	}
	return c.stream.Read(p)
}

func (c *streamConn) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	if err == errReset { // since the relay refuses
		err = cmp.Or(c.refused(), err)
	}
	return n, err
}

// refused waits for the relay's verdict, if it is to come.
func (c *streamConn) refused() error {
	if c.asked {
		c.verdict.Do(func() {
			refusal, err := readVerdict(c.stream)
			if c.refusal = err; refusal != nil {
				c.refusal = fmt.Errorf("the relay answers: %v: %w", refusal, kith.Unreachable)
			} else if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				c.refusal = errNoVerdict
			}
		})
	}
	return c.refusal
}

func (c *streamConn) Close() error {
	c.stream.reset()
	return nil
}

func (c *streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *streamConn) LocalAddr() net.Addr  { return kith.Address{} }
func (c *streamConn) RemoteAddr() net.Addr { return kith.Address{} }
