package node

import (
	"net"
	"sync"
	"time"
)

// listenPause is how long a port that is taken waits to be tried again.
const listenPause = 5 * time.Second

// A lateListener listens on a port that another program holds, as soon as that
// program lets go of it. Until then Accept waits.
type lateListener struct {
	take   func() (net.Listener, error)
	wanted net.Addr

	mu     sync.Mutex
	taken  net.Listener // nil until take succeeded
	close  sync.Once
	closed chan struct{}
}

func newLateListener(wanted net.Addr, take func() (net.Listener, error)) *lateListener {
	return &lateListener{take: take, wanted: wanted, closed: make(chan struct{})}
}

func (l *lateListener) Accept() (net.Conn, error) {
	for {
		if ln := l.listener(); ln != nil {
			return ln.Accept()
		}
		timer := time.NewTimer(listenPause)
		select {
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		case <-timer.C:
		}
		if ln, err := l.take(); err == nil && !l.keep(ln) {
			return nil, net.ErrClosed
		}
	}
}

func (l *lateListener) listener() net.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// keep takes over ln, or closes it and reports false when Close came first.
func (l *lateListener) keep(ln net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		ln.Close()
		return false
	default:
		l.taken = ln
		return true
	}
}

func (l *lateListener) Close() error {
	var err error
	l.close.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.closed)
		if l.taken != nil {
			err = l.taken.Close()
		}
	})
	return err
}

func (l *lateListener) Addr() net.Addr {
	if ln := l.listener(); ln != nil {
		return ln.Addr()
	}
	return l.wanted
}
