package overlay

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// A peer is a host that we have, or try to have, a carrier to.
type peer struct {
	current     *link              // new sockets go here; nil: no carrier is up
	links       map[*link]struct{} // current and those that retire
	attempt     *attempt           // the dial under way, or nil
	dialledBack bool               // as it comes through a relay; the dial is under way
	unread      atomic.Int64       // bytes that all TLS carriers hold for readers
	lost        error              // why the last one ended that was current
	former      instance           // of the host, before the current one
	turned      time.Time          // when that one came
	told        bool               // what OnPeer heard last; guarded by Overlay.telling
}

// A link is a carrier in the service of a peer.
type link struct {
	carrier
	overlay  *Overlay
	peer     kith.ID
	via      kith.ID // the relay; zero: the carrier is direct
	near     bool    // the peer is on a network of ours
	dialled  bool    // by us
	instance instance
	since    time.Time

	observed   netip.AddrPort   // where the peer sees us
	candidates []netip.AddrPort // where the peer said that it may be dialled
	level      chan struct{}    // closed when both know what the other did of the roster
	leveled    sync.Once
	why        string        // it took the place of the carrier before
	hint       chan struct{} // room for one: a direct path may be there now
	punched    atomic.Int64  // when the peer asked for it last, Unix nanoseconds
	arriving   atomic.Int32  // carriers through this one that are not up yet
	relaying   atomic.Int32  // flows that are relayed for others

	sent, received atomic.Uint64
	cause          atomic.Pointer[error] // why we ended it

	vigil vigil
	heard heard

	datagrams linkDatagrams

	notices notices
	control stream // ours; of sendNotices alone

	sockets map[*socket]struct{} // attached; guarded by Overlay.mu
	gone    bool                 // it has ended or was dropped: nothing attaches any more; guarded by Overlay.mu
	retired bool                 // takes no new sockets of ours; guarded by Overlay.mu
	leaving bool                 // the peer waits for us to end it; guarded by Overlay.mu
}

const (
	// simultaneous is how far apart two carriers may come up and still be the
	// outcome of both sides dialling at once. Later, the peer dialled because
	// it lost the older one.
	simultaneous = 2 * time.Second

	// retirement is how long a link that lost stays for sockets that the peer
	// may be opening on it.
	retirement = 2 * time.Second

	maxLinks = 4 // to one peer, retired ones included
)

// An arrival is what the handshake of a carrier has shown.
type arrival struct {
	peer    kith.ID
	dialled bool    // by us
	theirs  hello   // what the peer said
	via     kith.ID // the relay, or zero
}

func (o *Overlay) newLink(c carrier, a arrival) *link {
	return &link{
		carrier: c, overlay: o, peer: a.peer, via: a.via, dialled: a.dialled,
		instance: a.theirs.instance, observed: a.theirs.observed, candidates: a.theirs.candidates,
		near: a.via.IsZero() && o.nearby(c.remote().Addr()), since: time.Now(),
		level:   make(chan struct{}),
		hint:    make(chan struct{}, 1),
		sockets: make(map[*socket]struct{}), notices: notices{urgent: make(chan struct{}, 1)},
	}
}

// adopt puts a carrier into service once both sides have admitted each other,
// and returns the peer's link, which is another one if that prevails.
func (o *Overlay) adopt(c carrier, a arrival) (*link, error) {
	if a.peer == o.id {
		c.close()
		return nil, errOwnKey
	}
	l := o.newLink(c, a)
	id, theirs := a.peer, a.theirs.instance
	if o.cfg.Digest == nil || len(a.theirs.digest) == 0 {
		l.setLevel()
	} else if digest := o.cfg.Digest(); string(digest[:]) == string(a.theirs.digest) {
		l.setLevel()
	}
	o.mu.Lock()
	if o.stopped {
		o.mu.Unlock()
		c.close()
		return nil, errStopped
	}
	p := o.peerLocked(id)
	if p.isTwin(theirs) {
		o.mu.Unlock()
		c.close()
		return nil, errTwin
	}
	p.links[l] = struct{}{}
	o.links[l] = struct{}{}
	if c, ok := c.(*yamuxCarrier); ok {
		c.unread.limit(&p.unread, l.evict)
	}
	var restarted []*link
	for old := range p.links {
		if old.instance != theirs {
			restarted = append(restarted, old)
		}
	}
	old := p.current
	l.why = l.reason(p)
	if old != nil && old.instance == theirs && old.isLevel() {
		l.setLevel() // what one of them learns is passed on at once
	}
	switch {
	case old == nil || old.instance != theirs || l.prevails(old):
		p.current = l
		if old != nil {
			old.retireLocked()
			if old.instance != theirs {
				p.former, p.turned = old.instance, time.Now()
			}
		}
	default:
		l.retireLocked()
	}
	if p.current == l && p.attempt != nil {
		p.attempt.cancel(l.adopted())
	}
	surplus := p.surplus()
	o.tasks.Go(func() { o.serveLink(l) })
	o.mu.Unlock()

	for _, old := range restarted {
		old.finish(errRestarted)
	}
	for _, old := range surplus {
		old.finish(errTooManyLinks)
	}
	for _, s := range o.socketsOf(&id) {
		if s.instance != theirs {
			s.abort(errRestarted)
		}
	}
	// A revocation between the handshake's question and now has not seen
	// this link: ask once more.
	if err := o.admit(id, nil); err != nil {
		l.finish(err)
		return nil, err
	}
	o.tellPeer(id)
	o.carryOn(l)
	if a.via.IsZero() {
		o.contacts.met(l.remote().Addr())
	}
	o.noteReached(l)
	o.reachChanged()
	o.spawn(func() { o.improve(l) })
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.current != nil {
		return p.current, nil
	}
	return l, nil
}

var (
	errRestarted    = fmt.Errorf("the host restarted: %w", kith.Unreachable)
	errLeft         = fmt.Errorf("the host has stopped: %w", kith.Unreachable)
	errRetired      = fmt.Errorf("the connection gave way to another: %w", kith.Unreachable)
	errRelayUp      = fmt.Errorf("a relayed connection is up: %w", kith.Exists)
	errAdopted      = fmt.Errorf("another connection is up: %w", kith.Exists)
	errTwin         = fmt.Errorf("the host there runs twice: %w", kith.Exists)
	errOwnKey       = fmt.Errorf("the host there has this host's own key: %w", kith.Exists)
	errTooManyLinks = fmt.Errorf("the host opened more than %d connections: %w", maxLinks, kith.Quota)
)

// adopted is why a dial for its sake ends.
func (l *link) adopted() error {
	if l.rank() == 0 {
		return errRelayUp
	}
	return errAdopted
}

// succeed puts the best of the other links in the place of the current one,
// which has ended or stalled.
func (p *peer) succeed(last *link) {
	p.current = nil
	for l := range p.links {
		if l != last && !l.leaving && !l.vigil.stalled.Load() && (p.current == nil || l.rank() > p.current.rank()) {
			p.current = l
		}
	}
	if p.current != nil { // it retired, but it lives
		p.current.retired = false
		p.current.hasHint()
	}
}

// surplus returns the oldest of the links that retire, as many as there are
// beyond maxLinks.
func (p *peer) surplus() []*link {
	var retired []*link
	for l := range p.links {
		if l != p.current {
			retired = append(retired, l)
		}
	}
	slices.SortFunc(retired, func(a, b *link) int { return a.since.Compare(b.since) })
	return retired[:max(0, len(p.links)-maxLinks)]
}

// twinTurn is how long each of two hosts with one key is heard before the other is: a restarted host does
// not come back as what it was before, but a copy of it does, and would end the connection that could tell
// the two of each other.
const twinTurn = 5 * time.Second

func (p *peer) isTwin(theirs instance) bool {
	return p.current != nil && p.current.instance != theirs && theirs == p.former && time.Since(p.turned) < twinTurn
}

// reason says why the link is made, for people.
func (l *link) reason(p *peer) string {
	switch old := p.current; {
	case old == nil && p.lost != nil:
		return p.lost.Error()
	case old == nil:
		return ""
	case old.instance != l.instance:
		return errRestarted.Error()
	case l.rank() > old.rank():
		return "a better path was found"
	}
	return "a new connection was made"
}

// rank orders paths: through a relay, direct by TCP, direct by QUIC, on a
// network of ours by QUIC and by TCP. Beyond our own networks QUIC comes first,
// for only it shows where others see this host's UDP port.
func (l *link) rank() int {
	switch {
	case !l.via.IsZero():
		return 0
	case l.near && l.kind() == carrierQUIC:
		return 3
	case l.near:
		return 4
	case l.kind() == carrierQUIC:
		return 2
	}
	return 1
}

// outside reports whether the link leaves our own networks, and directly.
func (l *link) outside() bool { return l.via.IsZero() && !l.near && l.peer != l.overlay.id }

// prevails decides between two live carriers to one running peer, so that
// both sides keep the same one.
func (l *link) prevails(old *link) bool {
	if l.rank() != old.rank() {
		return l.rank() > old.rank()
	}
	if l.dialled == old.dialled || l.since.Sub(old.since) > simultaneous {
		return true
	}
	smaller := string(l.overlay.id[:]) < string(l.peer[:])
	return l.dialled == smaller
}

// serveLink answers the peer's streams until the carrier ends.
func (o *Overlay) serveLink(l *link) {
	o.log.Debug("carrier up", "peer", l.peer.Short(), "carrier", l.kind(), "address", l.remote(), "via", l.via.Short(), "dialled", l.dialled)
	o.spawn(l.hearPackets)
	var err error
	for {
		var s stream
		if s, err = l.acceptStream(); err != nil {
			break
		}
		if !o.spawn(func() { o.answer(l, s) }) {
			s.reset()
		}
	}
	l.close()
	if c, ok := l.carrier.(*yamuxCarrier); ok {
		c.unread.close()
	}
	if err == errGoodbye {
		l.leave()
	}
	o.log.Debug("carrier ended", "peer", l.peer.Short(), "carrier", l.kind(), "cause", l.lost(err))

	o.mu.Lock()
	l.gone = true
	left := l.leaving
	delete(o.links, l)
	if o.self == l {
		o.self = nil
	}
	if p := o.peers[l.peer]; p != nil {
		delete(p.links, l)
		if p.current == l {
			p.lost = l.lost(err)
			p.succeed(l)
		}
		o.forgetLocked(l.peer, p)
	}
	o.mu.Unlock()
	o.tellPeer(l.peer)
	o.reachChanged()
	o.carrierLost(l, left)
}

// finish ends the carrier at once for a reason that its sockets then tell.
func (l *link) finish(cause error) {
	l.cause.CompareAndSwap(nil, &cause)
	l.close()
}

// retireLocked has the link end when nothing is open on it any more.
func (l *link) retireLocked() {
	l.retired = true
	l.reapLater()
}

func (l *link) reapLater() {
	time.AfterFunc(retirement, func() {
		l.overlay.mu.Lock()
		idle := l.retired && l.idleLocked()
		l.overlay.mu.Unlock()
		if idle {
			l.finish(errRetired)
		}
	})
}

// leave ends the link for a peer that said goodbye, as soon as our sockets on
// it are closed.
func (l *link) leave() {
	o := l.overlay
	o.mu.Lock()
	l.retired, l.leaving = true, true
	if p := o.peers[l.peer]; p != nil && p.current == l {
		p.current = nil
	}
	idle := l.idleLocked()
	o.mu.Unlock()
	if idle {
		l.finish(errLeft)
	}
}

// idleLocked reports whether no open socket is attached. Those that are
// closed and not yet delivered resume elsewhere if need be.
func (l *link) idleLocked() bool {
	for s := range l.sockets {
		if s.end.Load() == nil {
			return false
		}
	}
	return true
}

// attached returns the sockets on the link.
func (l *link) attached() []*socket {
	l.overlay.mu.Lock()
	defer l.overlay.mu.Unlock()
	return slices.Collect(maps.Keys(l.sockets))
}

// released ends a link that only waited for a socket that is closed or has
// moved.
func (l *link) released() {
	o := l.overlay
	o.mu.Lock()
	retired, leaving := l.retired, l.leaving
	idle := retired && l.idleLocked()
	if idle && !leaving {
		l.reapLater()
	}
	o.mu.Unlock()
	if idle && leaving {
		l.finish(errLeft)
	}
}

func (o *Overlay) peerLocked(id kith.ID) *peer {
	p := o.peers[id]
	if p == nil {
		p = &peer{links: make(map[*link]struct{})}
		o.peers[id] = p
	}
	return p
}

// forgetLocked drops the record of a peer that nothing refers to.
func (o *Overlay) forgetLocked(id kith.ID, p *peer) {
	if len(p.links) == 0 && p.attempt == nil && !p.dialledBack && !p.told {
		delete(o.peers, id)
	}
}

// tellPeer brings OnPeer up to date, in order.
func (o *Overlay) tellPeer(id kith.ID) {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.mu.Lock()
	p := o.peers[id]
	if p == nil {
		o.mu.Unlock()
		return
	}
	up := p.current != nil
	changed := up != p.told
	p.told = up
	o.forgetLocked(id, p)
	o.mu.Unlock()
	if changed && o.cfg.OnPeer != nil {
		o.cfg.OnPeer(id, up)
	}
}

// Drop ends every carrier to the peer and every socket, suspended or not, at once; their
// reads and writes return an error that wraps reason, which is not nil. That
// the peer does not come back is Admit's part, which refuses it before Drop is
// called.
func (o *Overlay) Drop(id kith.ID, reason error) {
	o.mu.Lock()
	var links []*link
	if p := o.peers[id]; p != nil {
		for l := range p.links {
			l.gone = true
			links = append(links, l)
		}
		if p.attempt != nil {
			p.attempt.cancel(reason)
		}
	}
	o.mu.Unlock()
	if id != o.id {
		for _, s := range o.socketsOf(&id) {
			s.abort(reason)
		}
	}
	for _, l := range links {
		l.finish(reason) // wakes whoever reads or writes
	}
}

// selfLink returns our end of a carrier to ourselves: a pipe, so that a socket
// to this host behaves as one to any other.
func (o *Overlay) selfLink() (*link, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return nil, errStopped
	}
	if o.self != nil {
		return o.self, nil
	}
	near, far := net.Pipe()
	for _, end := range []struct {
		conn    net.Conn
		dialled bool
	}{{far, false}, {near, true}} {
		c, err := newYamuxCarrier(carrierSelf, end.conn, end.dialled)
		if err != nil {
			return nil, err
		}
		l := o.newLink(c, arrival{peer: o.id, dialled: end.dialled, theirs: hello{instance: o.instance}})
		l.setLevel()
		c.unread.limit(new(atomic.Int64), l.evict)
		o.links[l] = struct{}{}
		o.tasks.Go(func() { o.serveLink(l) })
		if end.dialled {
			o.self = l
		}
	}
	return o.self, nil
}

// Connect returns once a carrier to the peer is up.
func (o *Overlay) Connect(ctx context.Context, id kith.ID) error {
	_, err := o.linkTo(ctx, id)
	return err
}
