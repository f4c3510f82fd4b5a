package memory

import (
	"context"
	"fmt"
	"net"
	"sync"

	"kith.alt/kith"
)

type listener struct {
	hub *Hub
	at  endpoint

	queue  chan *connection
	freed  chan struct{} // holds one token when the queue may have room again
	closed chan struct{}

	mu   sync.Mutex // orders putting into the queue and closing
	done bool
}

func newListener(hub *Hub, at endpoint) *listener {
	return &listener{
		hub:    hub,
		at:     at,
		queue:  make(chan *connection, backlog),
		freed:  make(chan struct{}, 1),
		closed: make(chan struct{}),
	}
}

// offer queues c for Accept; it waits while the queue is full.
func (l *listener) offer(ctx context.Context, c *connection) error {
	for {
		queued, err := l.tryOffer(c)
		if queued || err != nil {
			l.signal() // there may be room for the next who waits
			return err
		}
		select {
		case <-l.freed:
		case <-l.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *listener) tryOffer(c *connection) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return false, kith.Refused
	}
	select {
	case l.queue <- c:
		return true, nil
	default:
		return false, nil
	}
}

func (l *listener) signal() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	default:
		select {
		case c := <-l.queue:
			l.signal()
			return c, nil
		case <-l.closed:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "memory", Addr: l.Addr(), Err: net.ErrClosed}
}

// Close gives the port back and ends the connections nobody accepted.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return &net.OpError{Op: "close", Net: "memory", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.done = true
	l.hub.release(l)
	close(l.closed)
	for {
		select {
		case c := <-l.queue:
			c.fail(fmt.Errorf("the listener was closed: %w", kith.Refused))
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr { return l.at.address() }
