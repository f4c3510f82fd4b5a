package node

import (
	"net"
	"sync"
)

// joinListeners makes one listener of several: an application serves a protocol
// and does not ask by which network a caller came.
func joinListeners(listeners []net.Listener) net.Listener {
	if len(listeners) == 1 {
		return listeners[0]
	}
	j := &joined{listeners: listeners, conns: make(chan net.Conn), closed: make(chan struct{})}
	for _, ln := range listeners {
		go j.accept(ln)
	}
	return j
}

type joined struct {
	listeners []net.Listener
	conns     chan net.Conn
	close     sync.Once
	closed    chan struct{}
}

func (j *joined) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // closed: by us, or with its network
		}
		select {
		case j.conns <- conn:
		case <-j.closed:
			conn.Close()
			return
		}
	}
}

func (j *joined) Accept() (net.Conn, error) {
	select {
	case conn := <-j.conns:
		return conn, nil
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

func (j *joined) Close() error {
	var first error
	j.close.Do(func() {
		close(j.closed)
		for _, ln := range j.listeners {
			if err := ln.Close(); err != nil && first == nil {
				first = err
			}
		}
	})
	return first
}

// Addr is the first listener's.
func (j *joined) Addr() net.Addr {
	return j.listeners[0].Addr()
}
