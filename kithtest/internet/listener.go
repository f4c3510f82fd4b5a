package internet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// A listener is a TCP socket that takes connections.
type listener struct {
	host    *Host
	at      netip.AddrPort
	wake    *sync.Cond // on host.net.mu
	queue   []*conn    // that wait for Accept
	opening int        // that wait for the last segment of the handshake
	accept  deadline
	closed  bool
}

const backlog = 128 // connections that opened or wait for Accept; a SYN beyond is dropped

func newListener(h *Host, at netip.AddrPort) *listener {
	return &listener{host: h, at: at, wake: sync.NewCond(&h.net.mu)}
}

func (l *listener) Accept() (net.Conn, error) {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, l.fail("accept", net.ErrClosed)
		case l.accept.passed():
			return nil, l.fail("accept", os.ErrDeadlineExceeded)
		case len(l.queue) > 0:
			c := l.queue[0]
			l.queue = slices.Delete(l.queue, 0, 1)
			return c, nil
		}
		l.wake.Wait()
	}
}

// Close resets what nobody accepted.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return l.fail("close", net.ErrClosed)
	}
	l.closed = true
	delete(l.host.listens, l.at)
	for _, c := range l.queue {
		c.closed = true
		c.abort(net.ErrClosed)
	}
	l.queue = nil
	l.wake.Broadcast()
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(shown(l.at)) }

// SetDeadline bounds Accept, as that of net.TCPListener.
func (l *listener) SetDeadline(t time.Time) error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	l.accept.set(l.host.net, t, l.wake)
	return nil
}

func (l *listener) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: err}
}
