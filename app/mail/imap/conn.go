package imap

import (
	"net"
	"sync"
	"time"
)

const (
	gathered      = 32 << 10 // bytes that are written at once
	writePatience = 30 * time.Second
	lastWords     = 2 * time.Second // for what is left when a connection is closed
)

// buffers hold what is gathered.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, gathered); return &b }}

// A conn gathers what is written until somebody reads, as then the other side is waited
// for. While somebody is reading, what is written goes out at once.
type conn struct {
	net.Conn
	failed error // of reading, which one does at a time

	mu      sync.Mutex
	buf     *[]byte // nil: nothing
	reading bool
	err     error // of writing
}

// Read fails for good once it has failed: the library goes on after a deadline, and would take the rest of a
// message for commands.
func (c *conn) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	c.mu.Lock()
	err := c.flush()
	c.reading = true
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
	c.failed = err
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if !c.reading && len(p) <= gathered {
		if c.buf != nil && len(*c.buf)+len(p) > gathered {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
		if c.buf == nil {
			c.buf = buffers.Get().(*[]byte)
		}
		*c.buf = append(*c.buf, p...)
		return len(p), nil
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.write(p)
}

// flush writes what was gathered.
func (c *conn) flush() error {
	if c.buf == nil {
		return c.err
	}
	_, err := c.write(*c.buf)
	*c.buf = (*c.buf)[:0]
	buffers.Put(c.buf)
	c.buf = nil
	return err
}

// write writes with the patience that each piece of gathered bytes gets.
func (c *conn) write(p []byte) (written int, err error) {
	for len(p) > 0 && c.err == nil {
		piece := p[:min(len(p), gathered)]
		c.Conn.SetWriteDeadline(time.Now().Add(writePatience))
		n, err := c.Conn.Write(piece)
		c.err = err
		written += n
		p = p[n:]
	}
	return written, c.err
}

// SetWriteDeadline does nothing: write has its own.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets that of reading.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// Close writes what was gathered, if nobody is writing, and closes.
func (c *conn) Close() error {
	if c.mu.TryLock() {
		if c.buf != nil && c.err == nil {
			c.Conn.SetWriteDeadline(time.Now().Add(lastWords))
			_, c.err = c.Conn.Write(*c.buf)
			c.buf = nil
		}
		if c.err == nil {
			c.err = net.ErrClosed
		}
		c.mu.Unlock()
	}
	return c.Conn.Close()
}

// NetConn is for those who look for who is there.
func (c *conn) NetConn() net.Conn { return c.Conn }
