package overlay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kith.alt/kith"
)

// A socket is a stream as programs know it: a net.Conn that half-closes and
// tells who is at its far end. Close delivers what was written, fails what the
// peer writes from then on, and leaves the peer what it has not read yet.
type socket struct {
	stream  stream
	link    *link
	local   kith.Address
	distant kith.Address
	peer    kith.Peer
	port    uint16
	inbound bool
	program bool // a local program dialled
	opened  time.Time

	sent, received atomic.Uint64
	end            atomic.Pointer[error] // why it ended here: net.ErrClosed, or the cause given to abort

	writer       sync.Mutex // held by the one Write at a time, and by closing
	closeWriting sync.Once

	mu          sync.Mutex // guards writeClosed and the stream's write deadline
	writeClosed bool
}

func (s *socket) Peer() kith.Peer      { return s.peer }
func (s *socket) LocalAddr() net.Addr  { return s.local }
func (s *socket) RemoteAddr() net.Addr { return s.distant }

func (s *socket) Read(p []byte) (int, error) {
	if end := s.end.Load(); end != nil {
		return 0, s.opError("read", *end)
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.stream.Read(p)
	s.received.Add(uint64(n))
	s.link.received.Add(uint64(n))
	s.link.overlay.metrics.received.Add(uint64(n))
	return n, s.opError("read", err)
}

func (s *socket) Write(p []byte) (int, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	if end := s.end.Load(); end != nil {
		return 0, s.opError("write", *end)
	}
	s.mu.Lock()
	closed := s.writeClosed
	s.mu.Unlock()
	if closed {
		return 0, s.opError("write", syscall.EPIPE)
	}
	n, err := s.stream.Write(p)
	s.sent.Add(uint64(n))
	s.link.sent.Add(uint64(n))
	s.link.overlay.metrics.sent.Add(uint64(n))
	return n, s.opError("write", err)
}

// CloseWrite ends our direction after what was written. A Write that waits
// fails.
func (s *socket) CloseWrite() error {
	if end := s.end.Load(); end != nil {
		return s.opError("close", *end)
	}
	s.wakeWriter()
	s.writer.Lock()
	defer s.writer.Unlock()
	var err error
	s.closeWriting.Do(func() { err = s.stream.closeWrite() })
	return s.opError("close", err)
}

// Close ends the socket; a Read or Write that waits returns net.ErrClosed.
func (s *socket) Close() error {
	if !s.finish(net.ErrClosed) {
		return nil
	}
	s.wakeWriter()
	s.writer.Lock()
	s.stream.close() // fails only when the carrier is gone, and the stream with it
	s.writer.Unlock()
	s.link.release(s)
	return nil
}

// abort ends the socket from within: reads and writes return cause, and what
// was not read is lost.
func (s *socket) abort(cause error) {
	if s.finish(cause) {
		s.stream.reset()
		s.link.release(s)
	}
}

func (s *socket) finish(cause error) bool { return s.end.CompareAndSwap(nil, &cause) }

// wakeWriter makes Write return, now and from now on.
func (s *socket) wakeWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeClosed = true
	s.stream.SetWriteDeadline(time.Unix(1, 0))
}

func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *socket) SetReadDeadline(t time.Time) error {
	if end := s.end.Load(); end != nil {
		return s.opError("set deadline", *end)
	}
	return s.stream.SetReadDeadline(t)
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	if end := s.end.Load(); end != nil {
		return s.opError("set deadline", *end)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeClosed {
		return nil
	}
	return s.stream.SetWriteDeadline(t)
}

// opError gives an error of the stream its meaning for programs.
func (s *socket) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	end := s.end.Load()
	s.mu.Lock()
	halfClosed := s.writeClosed
	s.mu.Unlock()
	switch {
	case end != nil:
		err = *end
	case err == io.EOF:
		return err
	case op == "write" && halfClosed:
		err = syscall.EPIPE
	case err == errReset:
		err = syscall.ECONNRESET
	case errors.Is(err, os.ErrDeadlineExceeded), err == syscall.EPIPE:
	default:
		err = s.link.lost(err)
	}
	return &net.OpError{Op: op, Net: "kith", Source: s.local, Addr: s.distant, Err: err}
}

// lost says in which words a socket ends when its carrier has.
func (l *link) lost(err error) error {
	if cause := l.cause.Load(); cause != nil {
		return *cause
	}
	return fmt.Errorf("connection to host %s lost (%v): %w", l.peer.Short(), err, kith.Unreachable)
}
