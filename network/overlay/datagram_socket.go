package overlay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"kith.alt/kith"
)

// A packetSocket is a datagram port taken on this host: a net.PacketConn.
type packetSocket struct {
	overlay *Overlay
	address kith.Address
	program bool // of a local program

	mu            sync.Mutex
	queue         inbox
	changed       chan struct{} // closed when something does, nil while nobody waits
	readDeadline  time.Time
	writeDeadline time.Time
	closed        bool
	unregister    func() bool // from the overlay's end
}

var _ kith.PacketNetwork = (*Overlay)(nil)

// ListenPacket takes a datagram port of this host; address.Host is "" or this
// host's ID. Port 0 takes a free one from 49152 up. It fails with kind InUse,
// or with kind Invalid for another host's ID.
//
// A datagram for a host without a carrier has it dialled; the last 16 wait so
// long. Each socket holds 512 KiB that are not read, which its senders share:
// when there is no more room, those lose datagrams that have most in it.
func (o *Overlay) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	return o.listenPacket(ctx, address, false)
}

// DialPacket takes a free port for datagrams to and from one process.
func (o *Overlay) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	return o.dialPacket(ctx, address, false)
}

// ListenPacket is the overlay's for a local program; see [Overlay.Programs].
func (p programs) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	if err := checkProgramPort(address.Port); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "kith", Addr: address, Err: err}
	}
	return p.overlay.listenPacket(ctx, address, true)
}

// DialPacket is the overlay's for a local program.
func (p programs) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	return p.overlay.dialPacket(ctx, address, true)
}

func (o *Overlay) dialPacket(ctx context.Context, address kith.Address, program bool) (net.Conn, error) {
	id, err := kith.ParseID(address.Host)
	switch {
	case err != nil:
	case address.Port == 0:
		err = errPortZero
	case id != o.id:
		err = o.admit(id, nil)
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "kith", Addr: address, Err: err}
	}
	s, err := o.listenPacket(ctx, kith.Address{}, program)
	if err != nil {
		return nil, err
	}
	return kith.ConnectPacket(s, kith.Address{Host: id.String(), Port: address.Port}), nil
}

func (o *Overlay) listenPacket(ctx context.Context, address kith.Address, program bool) (net.PacketConn, error) {
	s, err := o.newPacketSocket(ctx, address, program)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "kith", Addr: address, Err: err}
	}
	return s, nil
}

func (o *Overlay) newPacketSocket(ctx context.Context, address kith.Address, program bool) (*packetSocket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if address.Host != "" && address.Host != o.id.String() {
		return nil, fmt.Errorf("only this host's own ports can be listened on: %w", kith.Invalid)
	}
	ds := o.datagrams
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if o.ctx.Err() != nil {
		return nil, errStopped
	}
	port := address.Port
	if port == 0 {
		port = ds.freePortLocked()
	}
	if port == 0 || ds.ports[port] != nil {
		return nil, fmt.Errorf("overlay datagram port %d is taken: %w", port, kith.InUse)
	}
	s := &packetSocket{overlay: o, address: kith.Address{Host: o.id.String(), Port: port}, program: program, queue: newInbox()}
	s.mu.Lock() // for a Close that comes at once
	s.unregister = context.AfterFunc(o.ctx, func() { s.Close() })
	s.mu.Unlock()
	ds.ports[port] = s
	return s, nil
}

func (ds *datagrams) freePortLocked() uint16 {
	const count = 1<<16 - firstDynamicPort
	first := rand.IntN(count)
	for i := range count {
		if port := uint16(firstDynamicPort + (first+i)%count); ds.ports[port] == nil {
			return port
		}
	}
	return 0
}

func (s *packetSocket) LocalAddr() net.Addr { return s.address }

// ReadFrom returns a datagram and its [kith.Sender].
func (s *packetSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return 0, nil, s.opError("read", nil, net.ErrClosed)
		}
		if !s.readDeadline.IsZero() && !time.Now().Before(s.readDeadline) {
			return 0, nil, s.opError("read", nil, os.ErrDeadlineExceeded)
		}
		if d, ok := s.queue.take(); ok {
			return copy(p, d.payload), d.from, nil
		}
		s.wait()
	}
}

// wait releases mu until something changes or the deadline of reading passes.
func (s *packetSocket) wait() {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	var late <-chan time.Time
	if !s.readDeadline.IsZero() {
		timer := time.NewTimer(time.Until(s.readDeadline))
		defer timer.Stop()
		late = timer.C
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-late:
	}
}

// wakeLocked ends every wait.
func (s *packetSocket) wakeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// WriteTo sends a datagram to a [kith.Address] or [kith.Sender]. It does not
// wait, and does not keep p.
func (s *packetSocket) WriteTo(p []byte, addr net.Addr) (int, error) {
	if err := s.write(p, addr); err != nil {
		return 0, s.opError("write", addr, err)
	}
	return len(p), nil
}

var errPortZero = fmt.Errorf("port 0 names nobody: %w", kith.Invalid)

func (s *packetSocket) write(p []byte, addr net.Addr) error {
	s.mu.Lock()
	closed, late := s.closed, !s.writeDeadline.IsZero() && !time.Now().Before(s.writeDeadline)
	s.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case late:
		return os.ErrDeadlineExceeded
	case len(p) > kith.MaxDatagram:
		return fmt.Errorf("datagram of %d bytes, at most %d: %w", len(p), kith.MaxDatagram, kith.Invalid)
	}
	to, err := kith.AddressOf(addr)
	if err != nil {
		return err
	}
	id, err := kith.ParseID(to.Host)
	if err != nil {
		return err
	}
	if to.Port == 0 {
		return errPortZero
	}
	return s.overlay.sendDatagram(id, datagram{program: s.program, source: s.address.Port, destination: to.Port, payload: p})
}

// deliver queues a datagram, or reports false.
func (s *packetSocket) deliver(from kith.ID, d datagram) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	dropped := s.queue.put(received{payload: d.payload, from: kith.Sender{
		Address: kith.Address{Host: from.String(), Port: d.source},
		Peer:    kith.Peer{ID: from, Program: d.program},
	}})
	s.overlay.datagrams.dropped.Add(uint64(dropped.others))
	s.wakeLocked()
	return !dropped.itself
}

// Close gives the port back; what was not read is lost.
func (s *packetSocket) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return s.opError("close", nil, net.ErrClosed)
	}
	s.closed = true
	s.queue = inbox{}
	s.wakeLocked()
	s.mu.Unlock()
	s.unregister()
	ds := s.overlay.datagrams
	ds.mu.Lock()
	defer ds.mu.Unlock()
	delete(ds.ports, s.address.Port)
	return nil
}

func (s *packetSocket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *packetSocket) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.readDeadline, t) }

func (s *packetSocket) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.writeDeadline, t) }

func (s *packetSocket) setDeadline(deadline *time.Time, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("set deadline", nil, net.ErrClosed)
	}
	*deadline = t
	s.wakeLocked()
	return nil
}

func (s *packetSocket) opError(op string, to net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "kith", Source: s.address, Addr: to, Err: err}
}
