package overlay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"

	"kith.alt/kith"
)

// A udpSocket is what QUIC and others do with this host's one UDP socket:
// what is said on it is seen at one outside address by everybody whose router
// lets that be. It keeps packets from addresses that have to rest (contacts),
// takes the packets of the DHT out of QUIC's way, and counts a packet that
// cannot be sent now, since there is no route, as one that was lost: the
// address may change, and the connection live on.
type udpSocket struct {
	net.PacketConn
	contacts *contacts
	foreign  atomic.Pointer[foreignPackets]
}

// QUIC wants the methods of *net.UDPConn, if there is one, for sending and
// receiving many packets at once.
type kernelSocket struct {
	*udpSocket
	udp   *net.UDPConn
	batch *ipv4.PacketConn
}

func newUDPSocket(conn net.PacketConn, c *contacts) (*udpSocket, net.PacketConn) {
	s := &udpSocket{PacketConn: conn, contacts: c}
	if udp, ok := conn.(*net.UDPConn); ok {
		return s, &kernelSocket{s, udp, ipv4.NewPacketConn(udp)}
	}
	return s, s
}

// isForeign reports whether a packet begins as those of the DHT do: bencoded
// dictionaries whose first key has one or two letters (BEP 5, BEP 42). A short
// QUIC header may begin likewise, but our connection IDs never have such a
// second byte.
func isForeign(p []byte) bool { return len(p) > 1 && p[0] == 'd' && foreignSecond(p[1]) }

func foreignSecond(b byte) bool { return b == '1' || b == '2' }

func (s *udpSocket) received(p []byte, from net.Addr) (ours bool) {
	s.contacts.answered(addressOf(from))
	if f := s.foreign.Load(); f != nil && isForeign(p) {
		f.deliver(p, from)
		return false
	}
	return true
}

func (s *udpSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(p)
		if err != nil || s.received(p[:n], from) {
			return n, from, err
		}
	}
}

func (s *udpSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	if !s.contacts.allow(addressOf(to)) {
		return len(p), nil
	}
	n, err := s.PacketConn.WriteTo(p, to)
	if isPathGone(err) {
		s.contacts.unsent(addressOf(to))
		return len(p), nil
	}
	return n, err
}

func (k *kernelSocket) SyscallConn() (syscall.RawConn, error) { return k.udp.SyscallConn() }
func (k *kernelSocket) SetReadBuffer(bytes int) error         { return k.udp.SetReadBuffer(bytes) }
func (k *kernelSocket) SetWriteBuffer(bytes int) error        { return k.udp.SetWriteBuffer(bytes) }

func (k *kernelSocket) ReadBatch(messages []ipv4.Message, flags int) (int, error) {
	n, err := k.batch.ReadBatch(messages, flags)
	for i := range messages[:max(n, 0)] { // n may be -1
		m := &messages[i]
		if !k.received(m.Buffers[0][:m.N], m.Addr) {
			m.N, m.NN = 0, 0
		}
	}
	return n, err
}

func (k *kernelSocket) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	for {
		n, oobn, flags, addr, err = k.udp.ReadMsgUDP(b, oob)
		if err != nil || k.received(b[:n], addr) {
			return n, oobn, flags, addr, err
		}
	}
}

func (k *kernelSocket) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if !k.contacts.allow(addressOf(addr)) {
		return len(b), len(oob), nil
	}
	if n, oobn, err = k.udp.WriteMsgUDP(b, oob, addr); isPathGone(err) {
		k.contacts.unsent(addressOf(addr))
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

// isPathGone tells errors that pass when the computer has a network again from
// those that QUIC has to know.
func isPathGone(err error) bool {
	for _, gone := range []error{
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EPERM,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

func addressOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmapped(a.AddrPort())
	case *net.TCPAddr:
		return unmapped(a.AddrPort())
	}
	return netip.AddrPort{}
}

// foreignPackets is the part of the UDP socket that does not speak QUIC, as a
// net.PacketConn of its own.
type foreignPackets struct {
	socket *udpSocket
	queue  chan foreignPacket
	closed chan struct{}
	close  sync.Once

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when the deadline is another
}

type foreignPacket struct {
	bytes []byte
	from  net.Addr
}

const foreignBacklog = 64 // packets; more are dropped

// Packets returns a packet socket for what shares the overlay's UDP port and
// is neither QUIC nor the overlay's: packets that begin as those of the
// BitTorrent DHT do (BEP 5). The last one that was made gets them. It is of use
// while the overlay is open; closing it leaves the port alone.
func (o *Overlay) Packets() (net.PacketConn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.door == nil {
		return nil, errNotOpen
	}
	f := &foreignPackets{
		socket: o.door.socket, queue: make(chan foreignPacket, foreignBacklog),
		closed: make(chan struct{}), changed: make(chan struct{}),
	}
	o.door.socket.foreign.Store(f)
	context.AfterFunc(o.ctx, func() { f.Close() })
	return f, nil
}

var errNotOpen = &net.OpError{Op: "listen", Net: "kith", Err: kith.Unreachable}

func (f *foreignPackets) deliver(p []byte, from net.Addr) {
	select {
	case f.queue <- foreignPacket{bytes.Clone(p), from}:
	default:
	}
}

func (f *foreignPackets) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		f.mu.Lock()
		deadline, changed := f.deadline, f.changed
		f.mu.Unlock()
		var timeout <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case packet := <-f.queue:
			return copy(p, packet.bytes), packet.from, nil
		case <-f.closed:
			return 0, nil, net.ErrClosed
		case <-timeout:
			return 0, nil, os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

func (f *foreignPackets) WriteTo(p []byte, to net.Addr) (int, error) {
	select {
	case <-f.closed:
		return 0, net.ErrClosed
	default:
		return f.socket.PacketConn.WriteTo(p, to)
	}
}

func (f *foreignPackets) Close() error {
	f.close.Do(func() {
		f.socket.foreign.CompareAndSwap(f, nil)
		close(f.closed)
	})
	return nil
}

func (f *foreignPackets) LocalAddr() net.Addr              { return f.socket.LocalAddr() }
func (f *foreignPackets) SetDeadline(t time.Time) error    { return f.SetReadDeadline(t) }
func (f *foreignPackets) SetWriteDeadline(time.Time) error { return nil }

func (f *foreignPackets) SetReadDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = t
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}
