package swarm

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/door"
)

// A street is what is outside of a host: networks on which it has made-up addresses,
// and clients that come from anywhere.
type street struct {
	mu        sync.Mutex
	own       []netip.Prefix
	taken     map[netip.Addr]bool // by another program
	listening map[netip.Addr]*stall
	news      chan struct{}
}

// Addresses of the host.
var (
	atHome = netip.MustParseAddr("192.168.1.7")
	inside = netip.MustParseAddr("fd00:7::7")
	abroad = netip.MustParseAddr("203.0.113.7")
)

func newStreet() *street {
	return &street{
		own: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::7/64"),
			netip.PrefixFrom(atHome, 24), netip.PrefixFrom(inside, 64), netip.PrefixFrom(abroad, 24),
		},
		taken: make(map[netip.Addr]bool), listening: make(map[netip.Addr]*stall), news: make(chan struct{}, 1),
	}
}

func (s *street) outside() door.Network {
	return door.Network{
		Interfaces: func() []netip.Prefix {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.own
		},
		Changes: func(context.Context) <-chan struct{} { return s.news },
		Listen:  s.listen,
	}
}

func (s *street) listen(_ context.Context, address string, port uint16) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := netip.MustParseAddr(address)
	if s.taken[at] || s.listening[at] != nil {
		return nil, fmt.Errorf("bind: %w", kith.InUse)
	}
	l := &stall{street: s, at: netip.AddrPortFrom(at, port), come: make(chan net.Conn), closed: make(chan struct{})}
	s.listening[at] = l
	return l, nil
}

// move changes the addresses of the host.
func (s *street) move(own ...netip.Prefix) {
	s.mu.Lock()
	s.own = own
	s.mu.Unlock()
	s.news <- struct{}{}
}

func (s *street) take(at netip.Addr, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[at] = taken
}

// A stall is where the host listens.
type stall struct {
	street *street
	at     netip.AddrPort
	come   chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *stall) Accept() (net.Conn, error) {
	select {
	case conn := <-l.come:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *stall) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func (l *stall) Close() error {
	l.once.Do(func() {
		l.street.mu.Lock()
		defer l.street.mu.Unlock()
		delete(l.street.listening, l.at.Addr())
		close(l.closed)
	})
	return nil
}

// from is an address that a connection says it comes from.
type from string

func (from) Network() string  { return "tcp" }
func (f from) String() string { return string(f) }

// A caller is a connection with made-up ends.
type caller struct {
	net.Conn
	remote, local net.Addr
}

func (c caller) RemoteAddr() net.Addr { return c.remote }
func (c caller) LocalAddr() net.Addr  { return c.local }

// call has a client come to an address of the host; nil is where nobody listens.
func (s *street) call(t testing.TB, at netip.Addr, remote string) net.Conn {
	t.Helper()
	s.mu.Lock()
	l := s.listening[at]
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	near.SetDeadline(time.Now().Add(30 * time.Second))
	select {
	case l.come <- caller{far, from(remote), l.Addr()}:
		return near
	case <-l.closed:
		return nil
	}
}
