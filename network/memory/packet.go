package memory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"kith.alt/kith"
)

// packetBacklog is how many datagrams wait to be read; more are lost.
const packetBacklog = 256

var _ kith.PacketNetwork = (*Network)(nil)

// ListenPacket takes a datagram port.
func (n *Network) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	s, err := n.listenPacket(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return s, nil
}

func (n *Network) listenPacket(ctx context.Context, address kith.Address) (*packetSocket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := n.endpoint(address)
	if err != nil {
		return nil, err
	}
	if at.host != n.id {
		return nil, fmt.Errorf("that is another host: %w", kith.Invalid)
	}
	for {
		if address.Port == 0 {
			at.port = n.hub.takePort()
		}
		s := &packetSocket{hub: n.hub, at: at, queue: make(chan packet, packetBacklog), closed: make(chan struct{}), changed: make(chan struct{})}
		if n.hub.claimPacket(s) {
			return s, nil
		}
		if address.Port != 0 {
			return nil, kith.InUse
		}
	}
}

// DialPacket takes a port for datagrams to and from one process.
func (n *Network) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	far, err := n.endpoint(address)
	if err == nil && address.Port == 0 {
		err = kith.Invalid
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	s, err := n.ListenPacket(ctx, kith.Address{})
	if err != nil {
		return nil, err
	}
	return kith.ConnectPacket(s, far.address()), nil
}

func (h *Hub) claimPacket(s *packetSocket) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.packets[s.at] != nil {
		return false
	}
	h.packets[s.at] = s
	return true
}

// packetRoute returns who gets the datagrams from one process to another, or
// nil.
func (h *Hub) packetRoute(from, to endpoint) *packetSocket {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut[path(from.host, to.host)] {
		return nil
	}
	return h.packets[to]
}

type packet struct {
	payload []byte
	from    kith.Sender
}

type packetSocket struct {
	hub     *Hub
	at      endpoint
	queue   chan packet
	closed  chan struct{}
	closing sync.Once

	mu            sync.Mutex
	changed       chan struct{} // closed when a deadline is set
	readDeadline  time.Time
	writeDeadline time.Time
}

func (s *packetSocket) LocalAddr() net.Addr { return s.at.address() }

func (s *packetSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		s.mu.Lock()
		deadline, changed := s.readDeadline, s.changed
		s.mu.Unlock()
		if err := s.err(deadline); err != nil {
			return 0, nil, s.wrap("read", err)
		}
		var late <-chan time.Time
		if !deadline.IsZero() {
			late = time.After(time.Until(deadline))
		}
		select {
		case d := <-s.queue:
			return copy(p, d.payload), d.from, nil
		case <-s.closed:
		case <-changed:
		case <-late:
		}
	}
}

// err is why the socket cannot go on.
func (s *packetSocket) err(deadline time.Time) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
	}
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (s *packetSocket) WriteTo(p []byte, addr net.Addr) (int, error) {
	if err := s.write(p, addr); err != nil {
		return 0, s.wrap("write", err)
	}
	return len(p), nil
}

func (s *packetSocket) write(p []byte, addr net.Addr) error {
	s.mu.Lock()
	deadline := s.writeDeadline
	s.mu.Unlock()
	if err := s.err(deadline); err != nil {
		return err
	}
	if len(p) > kith.MaxDatagram {
		return fmt.Errorf("datagram of %d bytes: %w", len(p), kith.Invalid)
	}
	address, err := kith.AddressOf(addr)
	if err != nil {
		return err
	}
	host, err := kith.ParseID(address.Host)
	if err != nil {
		return err
	}
	if to := s.hub.packetRoute(s.at, endpoint{host, address.Port}); to != nil {
		select {
		case to.queue <- packet{append([]byte(nil), p...), kith.Sender{Address: s.at.address(), Peer: kith.Peer{ID: s.at.host}}}:
		default:
		}
	}
	return nil
}

// Close gives the port back.
func (s *packetSocket) Close() error {
	err := s.wrap("close", net.ErrClosed)
	s.closing.Do(func() {
		close(s.closed)
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		delete(s.hub.packets, s.at)
		err = nil
	})
	return err
}

func (s *packetSocket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *packetSocket) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.readDeadline, t) }

func (s *packetSocket) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.writeDeadline, t) }

func (s *packetSocket) setDeadline(deadline *time.Time, t time.Time) error {
	if err := s.err(time.Time{}); err != nil {
		return s.wrap("set", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*deadline = t
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *packetSocket) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: "memory", Source: s.LocalAddr(), Err: err}
}
