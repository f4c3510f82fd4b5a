package node

import (
	"errors"
	"net"
	"sync"
)

// joinListeners makes one listener of one or more: an application serves a
// protocol and does not ask by which network a caller came.
func joinListeners(listeners []net.Listener) net.Listener {
	if len(listeners) == 1 {
		return listeners[0]
	}
	j := &joined{listeners: listeners, accepted: make(chan accepted), closed: make(chan struct{})}
	for _, ln := range listeners {
		go j.accept(ln)
	}
	return j
}

type joined struct {
	listeners []net.Listener
	accepted  chan accepted
	close     sync.Once
	closed    chan struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

// accept hands on what ln accepts, and errors such as too many open files,
// which pass.
func (j *joined) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		select {
		case j.accepted <- accepted{conn, err}:
		case <-j.closed:
			if err == nil {
				conn.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (j *joined) Accept() (net.Conn, error) {
	select {
	case <-j.closed:
		return nil, net.ErrClosed
	case a := <-j.accepted:
		return a.conn, a.err
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
func (j *joined) Addr() net.Addr { return j.listeners[0].Addr() }
