package internet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// DialTCP is that of underlay.Internet. Where nothing answers, the SYN is sent
// three times and DialTCP waits for ctx, or 127 s as Linux does. An error is
// ECONNREFUSED, ENETUNREACH, ETIMEDOUT or ctx's.
func (h *Host) DialTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	remote := unmapped(address)
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(remote), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	source, route := h.sourceFor(netip.Addr{}, remote.Addr())
	if !remote.Addr().Is4() || !route {
		return fail(syscall.ENETUNREACH)
	}
	port, ok := h.freePort(func(port uint16) bool {
		_, taken := h.conns[connKey{netip.AddrPortFrom(source, port), remote}]
		return taken || bound(h.listens, netip.AddrPortFrom(source, port))
	})
	if !ok {
		return fail(syscall.EADDRNOTAVAIL)
	}
	c := newConn(h, netip.AddrPortFrom(source, port), remote)
	c.state = dialling
	c.onTimer = (*conn).callAgain
	c.send(segment{syn: true})
	c.startTimer()
	h.net.after(dialTimeout, func() {
		if c.state == dialling {
			c.fall(syscall.ETIMEDOUT)
		}
	})
	defer context.AfterFunc(ctx, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		c.wake.Broadcast()
	})()
	for c.state == dialling {
		if err := ctx.Err(); err != nil {
			c.fall(err)
			break
		}
		c.wake.Wait()
	}
	if c.state == ended {
		return fail(c.err)
	}
	return c, nil
}

// dialTimeout is Linux's with its default of 6 retries.
const dialTimeout = 127 * time.Second

func newConn(h *Host, local, remote netip.AddrPort) *conn {
	c := &conn{
		host: h, local: local, remote: remote, wake: sync.NewCond(&h.net.mu),
		id: h.random.Uint32() | 1, window: bufferSize, rto: firstRTO,
	}
	h.conns[connKey{local, remote}] = c
	return c
}

func (c *conn) Read(p []byte) (int, error) {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case c.readDeadline.passed():
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case len(c.in) > 0:
			n := copy(p, c.in)
			c.consumed(n)
			return n, nil
		case c.eof:
			return 0, io.EOF
		case c.state == ended:
			return 0, c.fail("read", c.err)
		}
		c.wake.Wait()
	}
}

// Write is one piece to the peer, whoever else writes. It waits while 256 KiB are
// not acknowledged.
func (c *conn) Write(p []byte) (n int, err error) {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	ours := false
	defer func() {
		if ours {
			c.writing = false
			c.wake.Broadcast()
		}
	}()
	for {
		switch {
		case c.closed:
			return n, c.fail("write", net.ErrClosed)
		case c.finished:
			return n, c.fail("write", syscall.EPIPE)
		case c.state == ended:
			return n, c.fail("write", c.err)
		case c.writeDeadline.passed():
			return n, c.fail("write", os.ErrDeadlineExceeded)
		}
		if c.writing && !ours {
			c.wake.Wait()
			continue
		}
		ours, c.writing = true, true
		room := min(bufferSize-len(c.out), len(p)-n)
		c.out = append(c.out, p[n:n+room]...)
		n += room
		c.push()
		if n == len(p) {
			return n, nil
		}
		c.wake.Wait()
	}
}

// CloseWrite ends our direction: the peer reads what was written, then io.EOF.
func (c *conn) CloseWrite() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	switch {
	case c.closed:
		return c.fail("close", net.ErrClosed)
	case c.state == ended:
		return c.fail("close", syscall.ENOTCONN)
	}
	c.finish()
	return nil
}

// Close delivers what was written, in the background, for two minutes at most.
// The peer gets a reset when it sent what was not read.
func (c *conn) Close() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.closed = true
	c.wake.Broadcast()
	if c.state == ended {
		return nil
	}
	if len(c.in) > 0 {
		c.abort(net.ErrClosed)
		return nil
	}
	c.finish()
	c.host.net.after(lingerTime, func() { c.fall(net.ErrClosed) })
	return nil
}

// lingerTime is how long a connection lives that its program closed: it delivers
// what was written, and answers what was sent twice (TIME-WAIT).
const lingerTime = 2 * time.Minute

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readDeadline, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeDeadline, t) }

func (c *conn) setDeadline(d *deadline, t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	d.set(c.host.net, t, c.wake)
	return nil
}

func (c *conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
