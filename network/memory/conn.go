package memory

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"kith.alt/kith"
)

// bufferSize bounds the bytes that a direction holds: a Write waits when they
// are not read.
const bufferSize = 64 << 10

// A connection is one end of two directions.
type connection struct {
	hub           *Hub
	local, remote endpoint
	in, out       *direction
	entry         *connection // the dialing end, as the hub knows the pair
}

func newConnection(hub *Hub, near, far endpoint) (dialed, accepted *connection) {
	there, back := newDirection(), newDirection()
	dialed = &connection{hub: hub, local: near, remote: far, in: back, out: there}
	dialed.entry = dialed
	accepted = &connection{hub: hub, local: far, remote: near, in: there, out: back, entry: dialed}
	return dialed, accepted
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

func (c *connection) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

func (c *connection) CloseWrite() error { return c.wrap("close", c.out.closeWrite()) }

func (c *connection) Close() error {
	c.hub.forget(c.entry)
	c.in.closeReader()
	return c.wrap("close", c.out.closeWriter())
}

// fail ends both directions with err, which both ends get.
func (c *connection) fail(err error) {
	c.in.fail(err)
	c.out.fail(err)
}

func (c *connection) LocalAddr() net.Addr  { return c.local.address() }
func (c *connection) RemoteAddr() net.Addr { return c.remote.address() }

// Peer tells which host is at the far end.
func (c *connection) Peer() kith.Peer { return kith.Peer{ID: c.remote.host} }

func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *connection) SetReadDeadline(t time.Time) error {
	return c.wrap("set", c.in.setDeadline(&c.in.reader, t))
}

func (c *connection) SetWriteDeadline(t time.Time) error {
	return c.wrap("set", c.out.setDeadline(&c.out.writer, t))
}

func (c *connection) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "memory", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// A direction is a bounded buffer from one end's Write to the other's Read.
type direction struct {
	writing sync.Mutex // held by a Write, so that writes do not mix

	mu      sync.Mutex
	changed sync.Cond // on mu: anything below changed
	buffer  []byte
	ended   bool  // no more will be written
	failed  error // both ends get it
	reader  end
	writer  end
}

// An end is what one side of a direction has set.
type end struct {
	closed  bool
	expired bool // the deadline has passed
	timer   *time.Timer
}

func newDirection() *direction {
	d := new(direction)
	d.changed.L = &d.mu
	return d
}

// err is why the end cannot go on.
func (d *direction) err(e *end) error {
	switch {
	case e.closed:
		return net.ErrClosed
	case e.expired:
		return os.ErrDeadlineExceeded
	default:
		return d.failed
	}
}

func (d *direction) read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if err := d.err(&d.reader); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if len(d.buffer) > 0 {
			n := copy(p, d.buffer)
			d.buffer = d.buffer[:copy(d.buffer, d.buffer[n:])]
			d.changed.Broadcast()
			return n, nil
		}
		if d.ended {
			return 0, io.EOF
		}
		d.changed.Wait()
	}
}

func (d *direction) write(p []byte) (n int, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if err := d.err(&d.writer); err != nil {
			return n, err
		}
		if d.ended || d.reader.closed {
			return n, io.ErrClosedPipe
		}
		m := min(len(p), bufferSize-len(d.buffer))
		d.buffer = append(d.buffer, p[:m]...)
		n, p = n+m, p[m:]
		if m > 0 {
			d.changed.Broadcast()
		}
		if len(p) == 0 {
			return n, nil
		}
		d.changed.Wait()
	}
}

func (d *direction) closeWrite() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writer.closed {
		return net.ErrClosed
	}
	d.ended = true
	d.changed.Broadcast()
	return nil
}

func (d *direction) closeWriter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writer.closed {
		return net.ErrClosed
	}
	d.ended = true
	d.close(&d.writer)
	return nil
}

func (d *direction) closeReader() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.buffer = nil
	d.close(&d.reader)
}

func (d *direction) close(e *end) {
	e.closed = true
	if e.timer != nil {
		e.timer.Stop()
	}
	d.changed.Broadcast()
}

func (d *direction) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = err
	d.buffer = nil
	d.changed.Broadcast()
}

func (d *direction) setDeadline(e *end, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	wait := time.Until(t)
	e.timer, e.expired = nil, !t.IsZero() && wait <= 0
	if !t.IsZero() && wait > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if e.timer == timer { // no later deadline has taken its place
				e.expired = true
				d.changed.Broadcast()
			}
		})
		e.timer = timer
	}
	d.changed.Broadcast()
	return nil
}
