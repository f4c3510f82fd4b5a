package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

const dialTimeout = 5 * time.Second

// A service is a program that listens on a loopback port of this computer.
type service struct {
	port    uint16
	private func(uint16) bool // kith.Host.PrivatePort
	silent  atomic.Bool       // it did not answer when it was last dialled
}

// dial connects to the service, by IPv4 or else IPv6. It fails with kind
// Refused.
func (s *service) dial(ctx context.Context) (net.Conn, error) {
	// Asked each time: the port may have become kith's own since it was exposed.
	if s.private(s.port) {
		s.silent.Store(true)
		return nil, fmt.Errorf("port %d is kith's own now: %w", s.port, kith.Refused)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var dialer net.Dialer
	var first error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(s.port))))
		if err == nil {
			s.silent.Store(false)
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	s.silent.Store(true)
	return nil, fmt.Errorf("nothing answers on port %d of this computer (%v): %w", s.port, first, kith.Refused)
}

// probe finds out whether the service answers.
func (s *service) probe(ctx context.Context) {
	if conn, err := s.dial(ctx); err == nil {
		conn.Close()
	}
}

// relay copies both ways until both have ended. The end of one direction is
// passed on as such; an error ends both. The caller closes the connections.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyOneWay(a, b)
	}()
	copyOneWay(b, a)
	<-done
}

func copyOneWay(to, from net.Conn) {
	// Hiding the other methods keeps the buffer ours: a plain copy would take
	// net.TCPConn's detour of the same size.
	buffer := make([]byte, 32<<10)
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer)
	if err == nil {
		err = kith.CloseWrite(to)
	}
	if err != nil {
		to.Close()
		from.Close()
	}
}
