package web

import (
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

// A connLimit bounds open connections, in all and from each member. It is safe
// for concurrent use.
type connLimit struct {
	most, mostPeer int
	refused        *kith.Counter

	mu    sync.Mutex
	total int
	peers map[kith.ID]int // the zero ID: callers that no network verified
}

func newConnLimit(most, mostPeer int, refused *kith.Counter) *connLimit {
	return &connLimit{most: most, mostPeer: mostPeer, refused: refused, peers: make(map[kith.ID]int)}
}

func (l *connLimit) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// take counts a connection of peer, unless that would be too many.
func (l *connLimit) take(peer kith.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.most || l.peers[peer] >= l.mostPeer {
		l.refused.Add(1)
		return false
	}
	l.total++
	l.peers[peer]++
	return true
}

func (l *connLimit) give(peer kith.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

// limitedListener closes connections beyond the limit as they come, and counts
// the bytes of the others.
type limitedListener struct {
	net.Listener
	limit   *connLimit
	metrics *metrics
	patient time.Duration // for one write; 0: for ever
}

func (l limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, _ := kith.PeerOf(conn)
		if !l.limit.take(peer.ID) {
			conn.Close()
			continue
		}
		return &limitedConn{Conn: conn, listener: l, release: sync.OnceFunc(func() { l.limit.give(peer.ID) })}, nil
	}
}

type limitedConn struct {
	net.Conn
	listener limitedListener
	release  func()
}

// NetConn lets kith.PeerOf look through the wrapper.
func (c *limitedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends our direction.
func (c *limitedConn) CloseWrite() error { return kith.CloseWrite(c.Conn) }

func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.listener.metrics.received.Add(uint64(n))
	return n, err
}

func (c *limitedConn) Write(p []byte) (int, error) {
	if c.listener.patient > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.listener.patient)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(p)
	c.listener.metrics.sent.Add(uint64(n))
	return n, err
}

func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
