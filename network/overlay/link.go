package overlay

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// A peer is a host that we have, or try to have, a carrier to.
type peer struct {
	current *link              // new sockets go here; nil: no carrier is up
	links   map[*link]struct{} // current and those that retire
	attempt *attempt           // the dial under way, or nil
	told    bool               // what OnPeer heard last; guarded by Overlay.telling
}

// A link is a carrier in the service of a peer.
type link struct {
	carrier
	overlay  *Overlay
	peer     kith.ID
	dialled  bool // by us
	instance instance
	since    time.Time

	sent, received atomic.Uint64
	cause          atomic.Pointer[error] // why we ended it

	open    int  // sockets; guarded by Overlay.mu
	retired bool // takes no new sockets of ours; guarded by Overlay.mu
	leaving bool // the peer waits for us to end it; guarded by Overlay.mu
}

const (
	// simultaneous is how far apart two carriers may come up and still be the
	// outcome of both sides dialling at once. Later, the peer dialled because
	// it lost the older one.
	simultaneous = handshakePatience

	// retirement is how long a link that lost stays for sockets that the peer
	// may be opening on it.
	retirement = 2 * time.Second

	maxLinks = 4 // to one peer, retired ones included
)

// adopt puts a carrier into service once both sides have admitted each other,
// and returns the peer's link, which is another one if that prevails.
func (o *Overlay) adopt(c carrier, id kith.ID, dialled bool, theirs instance) (*link, error) {
	l := &link{carrier: c, overlay: o, peer: id, dialled: dialled, instance: theirs, since: time.Now()}
	o.mu.Lock()
	if o.stopped {
		o.mu.Unlock()
		c.close()
		return nil, errStopped
	}
	p := o.peerLocked(id)
	p.links[l] = struct{}{}
	o.links[l] = struct{}{}
	var restarted []*link
	for old := range p.links {
		if old.instance != theirs {
			restarted = append(restarted, old)
		}
	}
	old := p.current
	switch {
	case old == nil || old.instance != theirs || l.prevails(old):
		p.current = l
		if old != nil {
			old.retireLocked()
		}
	default:
		l.retireLocked()
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
	// A revocation between the handshake's question and now has not seen
	// this link: ask once more.
	if err := o.admit(id, nil); err != nil {
		l.finish(err)
		return nil, err
	}
	o.tellPeer(id)
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
	errTooManyLinks = fmt.Errorf("the host opened more than %d connections: %w", maxLinks, kith.Quota)
)

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

// prevails decides between two live carriers to one running peer, so that
// both sides keep the same one.
func (l *link) prevails(old *link) bool {
	if l.dialled == old.dialled || l.since.Sub(old.since) > simultaneous {
		return true
	}
	smaller := string(l.overlay.id[:]) < string(l.peer[:])
	return l.dialled == smaller
}

// serveLink answers the peer's streams until the carrier ends.
func (o *Overlay) serveLink(l *link) {
	o.log.Debug("carrier up", "peer", l.peer.Short(), "carrier", l.kind(), "address", l.remote(), "dialled", l.dialled)
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
	o.log.Debug("carrier ended", "peer", l.peer.Short(), "carrier", l.kind(), "cause", l.lost(err))

	o.mu.Lock()
	delete(o.links, l)
	if o.self == l {
		o.self = nil
	}
	if p := o.peers[l.peer]; p != nil {
		delete(p.links, l)
		if p.current == l {
			p.current = nil
			for other := range p.links {
				if !other.leaving { // it retired, but it lives
					p.current, other.retired = other, false
				}
			}
		}
		o.forgetLocked(l.peer, p)
	}
	o.mu.Unlock()
	o.tellPeer(l.peer)
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
		idle := l.retired && l.open == 0
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
	idle := l.open == 0
	o.mu.Unlock()
	if idle {
		l.finish(errLeft)
	}
}

// hold registers a socket of the link.
func (l *link) hold(s *socket) {
	o := l.overlay
	o.mu.Lock()
	defer o.mu.Unlock()
	l.open++
	o.sockets[s] = struct{}{}
}

// release forgets a socket that has ended.
func (l *link) release(s *socket) {
	o := l.overlay
	o.mu.Lock()
	delete(o.sockets, s)
	l.open--
	idle, leaving := l.open == 0, l.leaving
	if idle && l.retired && !leaving {
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
	if len(p.links) == 0 && p.attempt == nil && !p.told {
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

// Drop ends every carrier to the peer and every socket on them at once; their
// reads and writes return an error that wraps reason, which is not nil. That
// the peer does not come back is Admit's part, which refuses it before Drop is
// called.
func (o *Overlay) Drop(id kith.ID, reason error) {
	o.mu.Lock()
	var links []*link
	if p := o.peers[id]; p != nil {
		for l := range p.links {
			links = append(links, l)
		}
		if p.attempt != nil {
			p.attempt.cancel(reason)
		}
	}
	var sockets []*socket
	for s := range o.sockets {
		if s.peer.ID == id && id != o.id {
			sockets = append(sockets, s)
		}
	}
	o.mu.Unlock()
	for _, l := range links {
		l.cause.CompareAndSwap(nil, &reason)
	}
	for _, s := range sockets {
		if s.finish(reason) {
			s.link.release(s)
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
		l := &link{carrier: c, overlay: o, peer: o.id, dialled: end.dialled, since: time.Now()}
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
