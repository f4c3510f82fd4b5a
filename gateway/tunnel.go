package gateway

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

// lingerTime is how long the other direction of a tunnel goes on after one
// has failed, so that what was sent before still arrives.
const lingerTime = 5 * time.Second

// relay joins two connections until both directions have ended, and closes
// them. The end of one direction is passed on as such; a failure in the middle
// of a stream is never made to look like its end, where the client's side is TCP.
func relay(client, target net.Conn) {
	defer target.Close()
	defer client.Close()
	abort := func() {
		deadline := time.Now().Add(lingerTime)
		client.SetDeadline(deadline)
		target.SetDeadline(deadline)
		if tcp, ok := beneath(client).(*net.TCPConn); ok {
			tcp.SetLinger(0) // closing resets
		}
	}
	var up sync.WaitGroup
	up.Go(func() {
		if passOn(target, client) != nil {
			abort()
		}
	})
	if passOn(client, target) != nil {
		abort()
	}
	up.Wait()
}

// passOn copies src to dst up to src's end and then ends dst's direction.
// Between two TCP connections the kernel copies, where it can.
func passOn(dst, src net.Conn) error {
	dst, src = beneath(dst), beneath(src)
	_, dstTCP := dst.(*net.TCPConn)
	_, srcTCP := src.(*net.TCPConn)
	var err error
	if dstTCP && srcTCP {
		_, err = io.Copy(dst, src)
	} else {
		b := buffers{}.Get()
		defer buffers{}.Put(b)
		_, err = io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, b)
	}
	if err != nil {
		return err
	}
	return kith.CloseWrite(dst)
}

// beneath takes off the gateway's own wrappers.
func beneath(conn net.Conn) net.Conn {
	for {
		switch c := conn.(type) {
		case *limitConn:
			conn = c.Conn
		case *proxyConn:
			if len(c.prefix) > 0 {
				return c
			}
			conn = c.Conn
		default:
			return conn
		}
	}
}

// A tunnel is a connection to port 80 of a site, opened by SOCKS or CONNECT.
// What the client sends through it is read as HTTP; the connection that was
// dialled for it goes to the pool at the first request that needs one.
type tunnel struct {
	site site
	mu   sync.Mutex
	conn net.Conn // nil once claimed
}

func (t *tunnel) claim() net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	conn := t.conn
	t.conn = nil
	return conn
}

// claimTunnel returns the connection of the tunnel through which the request
// of ctx came, if it leads to hostPort and is not in use yet.
func claimTunnel(ctx context.Context, hostPort string) net.Conn {
	t := tunnelOf(ctx)
	if t == nil || t.site.address(webPort).String() != hostPort {
		return nil
	}
	return t.claim()
}

// A proxyConn is a connection that the proxy hands to its HTTP server.
type proxyConn struct {
	net.Conn
	prefix []byte  // read before, to be read again
	tunnel *tunnel // nil: the client speaks to the proxy itself
}

func (c *proxyConn) Read(b []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(b, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

func (c *proxyConn) Close() error {
	if c.tunnel != nil {
		if conn := c.tunnel.claim(); conn != nil {
			conn.Close()
		}
	}
	return c.Conn.Close()
}

// NetConn returns the connection beneath, for kith.CloseWrite.
func (c *proxyConn) NetConn() net.Conn { return c.Conn }
