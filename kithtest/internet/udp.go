package internet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// A packetConn is a UDP socket. Its writes never wait.
type packetConn struct {
	host   *Host
	at     netip.AddrPort
	wake   *sync.Cond // on host.net.mu: a packet came, the deadline passed or changed, it was closed
	queue  []*packet
	read   deadline
	closed bool
}

const (
	maxQueue   = 2048  // packets that wait to be read; more are dropped
	maxPayload = 65507 // bytes
)

func newPacketConn(h *Host, at netip.AddrPort) *packetConn {
	return &packetConn{host: h, at: at, wake: sync.NewCond(&h.net.mu)}
}

func (s *packetConn) deliver(p *packet) bool {
	if len(s.queue) >= maxQueue {
		return false
	}
	s.queue = append(s.queue, p)
	s.wake.Signal()
	return true
}

func (s *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, nil, s.fail("read", net.ErrClosed)
		case s.read.passed():
			return 0, nil, s.fail("read", os.ErrDeadlineExceeded)
		case len(s.queue) > 0:
			first := s.queue[0]
			s.queue[0] = nil
			if s.queue = s.queue[1:]; len(s.queue) == 0 {
				s.queue = nil
			}
			return copy(p, first.payload), net.UDPAddrFromAddrPort(first.source), nil
		}
		s.wake.Wait()
	}
}

func (s *packetConn) WriteTo(p []byte, to net.Addr) (int, error) {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, s.fail("write", syscall.EINVAL)
	}
	remote := unmapped(udp.AddrPort())
	source, route := s.host.sourceFor(s.at.Addr(), remote.Addr())
	switch {
	case s.closed:
		return 0, s.fail("write", net.ErrClosed)
	case len(p) > maxPayload:
		return 0, s.fail("write", syscall.EMSGSIZE)
	case !remote.Addr().Is4() || !route:
		return 0, s.fail("write", syscall.ENETUNREACH)
	case remote.Port() == 0:
		return 0, s.fail("write", syscall.EINVAL)
	}
	s.host.send(&packet{
		protocol: UDP, size: udpHeaders + len(p), payload: append([]byte(nil), p...),
		source: netip.AddrPortFrom(source, s.at.Port()), destination: remote,
	})
	return len(p), nil
}

func (s *packetConn) Close() error {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	if s.closed {
		return s.fail("close", net.ErrClosed)
	}
	s.closed = true
	s.queue = nil
	delete(s.host.packets, s.at)
	s.wake.Broadcast()
	return nil
}

func (s *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(shown(s.at)) }

func (s *packetConn) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

func (s *packetConn) SetReadDeadline(t time.Time) error {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	if s.closed {
		return s.fail("set", net.ErrClosed)
	}
	s.read.set(s.host.net, t, s.wake)
	return nil
}

func (s *packetConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer do nothing: programs such as quic-go's
// complain without them.
func (s *packetConn) SetReadBuffer(int) error  { return nil }
func (s *packetConn) SetWriteBuffer(int) error { return nil }

func (s *packetConn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: s.LocalAddr(), Err: err}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
