package overlay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	backlog        = 128              // sockets that wait for Accept
	headerPatience = 10 * time.Second // for a stream's header, the verdict, and room in the backlog

	firstDynamicPort = 49152 // RFC 6335 6
)

// A listener is a port taken on this host.
type listener struct {
	overlay *Overlay
	address kith.Address
	slots   chan struct{} // room in the backlog
	queue   chan *socket  // never full: every socket in it has a slot
	closed  chan struct{}
	close   sync.Once
}

// Listen takes a port of this host; address.Host is "" or this host's ID. Port
// 0 takes a free one from 49152 up. It fails with kind InUse, or with kind
// Invalid for another host's ID.
func (o *Overlay) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	l, err := o.listen(ctx, address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "kith", Addr: address, Err: err}
	}
	return l, nil
}

func (o *Overlay) listen(ctx context.Context, address kith.Address) (*listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if address.Host != "" && address.Host != o.id.String() {
		return nil, fmt.Errorf("only this host's own ports can be listened on: %w", kith.Invalid)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return nil, errStopped
	}
	port := address.Port
	if port == 0 {
		port = o.freePortLocked()
	}
	if port == 0 || o.ports[port] != nil {
		return nil, fmt.Errorf("overlay port %d is taken: %w", port, kith.InUse)
	}
	l := &listener{
		overlay: o,
		address: kith.Address{Host: o.id.String(), Port: port},
		slots:   make(chan struct{}, backlog),
		queue:   make(chan *socket, backlog),
		closed:  make(chan struct{}),
	}
	o.ports[port] = l
	return l, nil
}

func (o *Overlay) freePortLocked() uint16 {
	const count = 1<<16 - firstDynamicPort
	first := rand.IntN(count)
	for i := range count {
		if port := uint16(firstDynamicPort + (first+i)%count); o.ports[port] == nil {
			return port
		}
	}
	return 0
}

func (l *listener) Addr() net.Addr { return l.address }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	default:
		select {
		case s := <-l.queue:
			<-l.slots
			return s, nil
		case <-l.closed:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "kith", Addr: l.address, Err: net.ErrClosed}
}

// Close gives the port back and ends the sockets that nobody accepted.
func (l *listener) Close() error {
	l.close.Do(func() {
		o := l.overlay
		o.mu.Lock()
		delete(o.ports, l.address.Port)
		o.mu.Unlock()
		close(l.closed)
		l.discard()
	})
	return nil
}

func (l *listener) discard() {
	for {
		select {
		case s := <-l.queue:
			s.abort(net.ErrClosed)
			<-l.slots
		default:
			return
		}
	}
}

// reserve takes a place in the backlog.
func (l *listener) reserve(ctx context.Context) error {
	select {
	case <-l.closed:
		return kith.Refused
	default:
	}
	t := time.NewTimer(headerPatience)
	defer t.Stop()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-l.closed:
		return kith.Refused
	case <-ctx.Done():
		return kith.Refused
	case <-t.C:
		return fmt.Errorf("port %d accepts no more: %w", l.address.Port, kith.Quota)
	}
}

// deliver hands a socket to Accept; its place is reserved.
func (l *listener) deliver(s *socket) {
	l.queue <- s
	select {
	case <-l.closed:
		l.discard() // Close may have looked before s was there
	default:
	}
}

// answer reads a stream's header and gives the verdict.
func (o *Overlay) answer(l *link, st stream) {
	st.SetReadDeadline(time.Now().Add(headerPatience))
	h, err := readHeader(st)
	if err == nil {
		st.SetReadDeadline(time.Time{})
	}
	if err == nil && (h.kind == forRelaying || h.kind == forPunching) {
		err = l.awaitLevel(o.ctx, 0)
	}
	if err == nil {
		switch h.kind {
		case forGoodbye:
			st.close()
			l.leave()
			return
		case forControl:
			o.hearNotices(l, st)
			return
		case forRelaying:
			o.relay(l, st, h)
			return
		case forRelayed:
			o.receiveRelayed(l, st, h)
			return
		case forPunching:
			o.punch(l, st, h)
			return
		case forDatagrams:
			l.hearDatagrams(st)
			return
		case forPing:
			l.answerPing(st)
			return
		}
		port := h.port
		if s := o.socketOf(l.peer, h.socket, true); h.kind == forResuming && s != nil {
			port = s.port
		}
		err = l.awaitLevel(o.ctx, port)
	}
	if err == nil {
		switch h.kind {
		case forResuming:
			o.answerResume(l, st, h)
			return
		}
	}
	var to *listener
	if err == nil {
		to, err = o.listenerFor(h)
	}
	if err == nil {
		err = to.reserve(o.ctx)
	}
	st.SetWriteDeadline(time.Now().Add(headerPatience))
	var s *socket
	if err == nil {
		if s, err = o.newSocket(l, st, h, true); err != nil {
			<-to.slots
		}
	}
	if err != nil {
		if writeVerdict(st, err) != nil {
			st.reset() // it is not read
			return
		}
		st.close()
		return
	}
	if err := writeVerdict(st, nil); err != nil {
		<-to.slots
		s.abort(err)
		return
	}
	st.SetWriteDeadline(time.Time{})
	to.deliver(s)
}

// listenerFor finds who answers for a port.
func (o *Overlay) listenerFor(h header) (*listener, error) {
	if h.program && slices.Contains(o.cfg.NodePorts, h.port) {
		return nil, fmt.Errorf("port %d is for nodes, not for programs: %w", h.port, kith.Denied)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.ports[h.port]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("port %d: %w", h.port, kith.Refused)
}

// Programs returns the overlay as local programs have it: sockets that they
// dial say so to the far host, and they listen on ports from
// [kith.FirstProgramPort] up, but for [kith.ChatPort]; others fail with kind
// Denied.
func (o *Overlay) Programs() kith.Network { return programs{o, o.cfg.SuspendFor} }

// ProgramsFor is Programs for programs whose people would rather see an error
// than wait: sockets that they dial end after suspend without a path.
func (o *Overlay) ProgramsFor(suspend time.Duration) kith.Network { return programs{o, suspend} }

type programs struct {
	overlay *Overlay
	suspend time.Duration
}

func (p programs) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	return p.overlay.dial(ctx, address, header{kind: forSocket, program: true, suspend: p.suspend})
}

func (p programs) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	if err := checkProgramPort(address.Port); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "kith", Addr: address, Err: err}
	}
	return p.overlay.Listen(ctx, address)
}

func checkProgramPort(port uint16) error {
	if port != 0 && (port < kith.FirstProgramPort || port == kith.ChatPort) {
		return fmt.Errorf("port %d belongs to the node; take one from %d up but for %d: %w", port, kith.FirstProgramPort, kith.ChatPort, kith.Denied)
	}
	return nil
}
