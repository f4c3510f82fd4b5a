package gateway

import (
	"net"
	"sync"
)

// A limitListener has at most so many connections open (further ones wait in
// the system's queue) and can close them all. Unlike others of its kind it
// leaves a way to the connection beneath, for half-close and for copying in
// the kernel.
type limitListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	close  sync.Once

	mu   sync.Mutex
	open map[*limitConn]struct{} // nil once all were closed
}

func newLimitListener(inner net.Listener, connections int) *limitListener {
	return &limitListener{
		Listener: inner,
		slots:    make(chan struct{}, connections),
		closed:   make(chan struct{}),
		open:     make(map[*limitConn]struct{}),
	}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	conn := &limitConn{Conn: inner, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		inner.Close()
		return nil, net.ErrClosed
	}
	l.open[conn] = struct{}{}
	return conn, nil
}

func (l *limitListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// closeAll closes the listener and every connection.
func (l *limitListener) closeAll() {
	l.Close()
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for conn := range open {
		conn.Conn.Close()
	}
}

type limitConn struct {
	net.Conn
	listener *limitListener
	close    sync.Once
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.close.Do(func() {
		c.listener.mu.Lock()
		delete(c.listener.open, c)
		c.listener.mu.Unlock()
		<-c.listener.slots
	})
	return err
}

// NetConn returns the connection beneath.
func (c *limitConn) NetConn() net.Conn { return c.Conn }
