package gateway

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

// lingerTime is how long a tunnel's end that takes no more may still send.
const lingerTime = 5 * time.Second

// relay joins two connections until both directions have ended, and closes
// them. The end of one direction is passed on as such; a failure in the middle
// of a stream does not look like its end where the client's side is TCP.
func relay(client, target net.Conn) {
	defer target.Close()
	defer client.Close()
	pass := func(dst, src net.Conn) {
		readErr, writeErr := copyAll(dst, src)
		if readErr == nil && writeErr == nil {
			kith.CloseWrite(dst)
			return
		}
		if tcp, ok := beneath(client).(*net.TCPConn); ok {
			tcp.SetLinger(0) // closing resets
		}
		if readErr != nil { // nobody is left at src, and nobody to write to
			dst.Close()
			src.Close()
			return
		}
		dst.SetReadDeadline(time.Now().Add(lingerTime))
	}
	var up sync.WaitGroup
	up.Go(func() { pass(target, client) })
	pass(client, target)
	up.Wait()
}

// copyAll copies src to dst until src ends.
func copyAll(dst io.Writer, src io.Reader) (readErr, writeErr error) {
	b := buffers{}.Get()
	defer buffers{}.Put(b)
	for {
		n, err := src.Read(b)
		if n > 0 {
			if _, writeErr = dst.Write(b[:n]); writeErr != nil {
				return nil, writeErr
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil, nil
		default:
			return err, nil
		}
	}
}

// beneath takes off the gateway's own wrappers.
func beneath(conn net.Conn) net.Conn {
	for {
		switch c := conn.(type) {
		case *limitConn:
			conn = c.Conn
		case *proxyConn:
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

type tunnelKey struct{}

// tunnelOf returns the tunnel through which the request of ctx came, or nil.
func tunnelOf(ctx context.Context) *tunnel {
	t, _ := ctx.Value(tunnelKey{}).(*tunnel)
	return t
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
