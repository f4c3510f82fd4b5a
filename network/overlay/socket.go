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

// A socket is what programs have: a net.Conn that half-closes, tells who is at
// its far end, and outlives the carriers under it. Close delivers what was
// written, fails what the peer writes from then on, and leaves the peer what it
// has not read yet.
//
// It has no goroutine of its own: Read and Write use the stream to which the
// socket is attached, and wait while there is none.
type socket struct {
	socketKey
	overlay    *Overlay
	local      kith.Address
	distant    kith.Address
	peer       kith.Peer
	port       uint16
	program    bool     // a local program dialled
	instance   instance // of the peer's process
	suspendFor time.Duration
	opened     time.Time

	sent, received atomic.Uint64
	end            atomic.Pointer[error] // why it ended here: net.ErrClosed, or the cause given to abort

	reader sync.Mutex // held by the one Read at a time
	writer sync.Mutex // held by the one Write at a time, and by closing

	mu            sync.Mutex
	state         resumable
	on            *attachment   // nil while suspended
	changed       chan struct{} // closed when something does, nil while nobody waits
	reading       bool          // a Read uses the stream
	sending       sending       // who writes on the stream
	writeClosed   bool
	refused       bool  // the peer reads no more
	failed        error // the peer's process has left; the reader may go on to the stream's end
	readDeadline  time.Time
	writeDeadline time.Time
	telling       bool        // a notice of our position is under way
	urgent        bool        // and in a hurry
	since         time.Time   // without a path since then, or zero
	timer         *time.Timer // ends it, unless it resumes
	lingering     *time.Timer // ends it once it is closed, unless the peer reads what was written
	resuming      bool
	left          *attachment // the stream that it left to resume elsewhere; the peer may still use it
	dead          bool        // it is in no table any more
}

// A socketKey is what identifies a socket in an overlay. A socket to ourselves has
// two ends.
type socketKey struct {
	host    kith.ID
	id      socketID
	inbound bool // the peer dialled
}

// An attachment is a stream in the service of a socket. It is guarded by the
// socket's mu, but for reading and writing.
type attachment struct {
	stream
	link          *link
	pending       bool // it is not known yet that the peer has attached the socket, too: nothing is read
	broken        bool // the carrier is about to end
	closed        bool // the stream was closed for a socket that is
	writeDeadline time.Time
}

type sending byte

const (
	nobody sending = iota
	byWrite
	byPump
)

const piece = 128 << 10 // bytes handed to a stream at once

var past = time.Unix(1, 0)

func (s *socket) Peer() kith.Peer      { return s.peer }
func (s *socket) LocalAddr() net.Addr  { return s.local }
func (s *socket) RemoteAddr() net.Addr { return s.distant }

func (s *socket) Read(p []byte) (int, error) {
	s.reader.Lock()
	defer s.reader.Unlock()
	s.mu.Lock()
	for {
		switch end := s.end.Load(); {
		case end != nil:
			s.mu.Unlock()
			return 0, s.opError("read", *end)
		case len(p) == 0:
			s.mu.Unlock()
			return 0, nil
		case s.state.eof:
			s.mu.Unlock()
			return 0, io.EOF
		case s.failed != nil && (s.on == nil || s.on.broken):
			s.mu.Unlock()
			return 0, s.opError("read", s.failed)
		}
		if s.on == nil || s.on.broken || s.on.pending {
			if err := s.wait(s.readDeadline); err != nil {
				s.mu.Unlock()
				return 0, s.opError("read", err)
			}
			continue
		}
		on := s.on
		s.reading = true
		s.mu.Unlock()
		n, err := on.Read(p)
		s.mu.Lock()
		s.reading = false
		s.state.receive(n)
		tell, urgent := false, false
		if err == io.EOF {
			s.state.receiveEnd()
		}
		if position := s.state.position(); position != s.state.told {
			tell = !s.telling
			urgent = !s.urgent && position-s.state.told >= acknowledgeAfter
			s.telling, s.urgent = true, s.urgent || urgent
		}
		if s.on != on {
			s.wake() // somebody waits until we are out
		} else if err != nil && err != io.EOF {
			s.streamFailed(on, err)
		}
		if n == 0 && (err == nil || s.on != on || s.on.broken) && s.end.Load() == nil {
			continue
		}
		s.mu.Unlock()

		s.received.Add(uint64(n))
		on.link.received.Add(uint64(n))
		s.overlay.metrics.received.Add(uint64(n))
		if tell {
			on.link.tell(s, nil, urgent)
		} else if urgent {
			on.link.hurry()
		}
		if n > 0 {
			return n, nil // an error comes again
		}
		return 0, s.opError("read", err)
	}
}

func (s *socket) Write(p []byte) (int, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	written := 0
	for {
		n, err := s.writePiece(p[written:])
		written += n
		s.sent.Add(uint64(n))
		if err != nil || written == len(p) {
			return written, s.opError("write", err)
		}
	}
}

// writePiece writes some of p. What is kept for a later stream counts as
// written, as in the buffer of a TCP socket.
func (s *socket) writePiece(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cannotWrite(); err != nil || len(p) == 0 {
		return 0, err
	}
	if !s.writeDeadline.IsZero() && !time.Now().Before(s.writeDeadline) {
		return 0, os.ErrDeadlineExceeded
	}
	direct := s.on != nil && !s.on.broken
	limit := uint64(maxUnacknowledged)
	if direct {
		limit = s.on.link.window()
	}
	start := s.state.kept.end
	n := s.state.write(p[:min(len(p), piece)], limit, !direct || !s.since.IsZero())
	if n == 0 {
		return 0, s.wait(s.writeDeadline)
	}
	if !direct || s.sending == byPump || s.state.sent != start { // the pump runs, or will: see update
		return n, nil
	}
	on := s.on
	m, err := s.hand(on, p[:n], byWrite)
	switch {
	case s.on != on: // what was kept goes another way
		return n, nil
	case s.state.lost:
		return m, s.cannotWrite()
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.state.takeBack()
		if ended := s.cannotWrite(); ended != nil {
			err = ended
		}
		return int(s.state.kept.end - start), err
	case err != nil:
		s.streamFailed(on, err)
		return n, s.cannotWrite()
	}
	return n, nil
}

// hand gives the stream the next bytes that it lacks. mu is released while the
// stream takes them.
func (s *socket) hand(on *attachment, p []byte, by sending) (int, error) {
	deadline := time.Time{}
	if by == byWrite {
		deadline = s.writeDeadline
	}
	on.setWriteDeadline(deadline)
	start := s.state.sent
	s.state.offer(len(p))
	s.sending = by
	s.state.kept.lent = by == byPump
	s.mu.Unlock()
	on.link.watch()
	n, err := on.Write(p)
	on.link.sent.Add(uint64(n))
	s.overlay.metrics.sent.Add(uint64(n))
	s.mu.Lock()
	s.sending = nobody
	s.state.kept.lent = false
	if s.on != on {
		s.wake() // somebody waits until we are out
	} else if lie := s.state.advance(start + uint64(n)); lie != nil {
		s.overlay.spawn(func() { s.abort(lie) })
	}
	return n, err
}

func (s *socket) cannotWrite() error {
	switch end := s.end.Load(); {
	case end != nil:
		return *end
	case s.writeClosed:
		return syscall.EPIPE
	case s.refused:
		return errReset
	default:
		return s.failed
	}
}

// streamFailed draws the conclusion from an error of the stream.
func (s *socket) streamFailed(on *attachment, err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
	case err == errReset && on.pending: // the peer gave up this attempt, not the socket
		s.detach()
		s.suspend()
	case err == errReset:
		s.refuse()
	case !on.broken:
		on.broken = true // the link tells all its sockets
		s.wake()
		s.overlay.spawn(func() { on.link.close() })
	}
}

// refuse forgets what the peer does not want.
func (s *socket) refuse() {
	s.refused = true
	s.state.discard()
	if s.sending == byWrite && s.on != nil {
		s.on.setWriteDeadline(past)
	}
	s.wake()
}

// wait releases mu until something changes. It fails once the deadline has
// passed.
func (s *socket) wait(deadline time.Time) error {
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		timeout = timer.C
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	s.mu.Unlock()
	select {
	case <-changed:
	case <-timeout:
	}
	s.mu.Lock()
	return nil
}

func (s *socket) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (a *attachment) setWriteDeadline(t time.Time) {
	if !a.writeDeadline.Equal(t) {
		a.writeDeadline = t
		a.SetWriteDeadline(t)
	}
}

// pump brings the stream up to date: with what was kept, then the end.
func (s *socket) pump() {
	on := s.on
	if s.sending != nobody {
		return
	}
	for on != nil && s.on == on && !on.broken {
		var err error
		closed := s.end.Load() != nil
		if p := s.state.unsent(); len(p) > 0 {
			_, err = s.hand(on, p, byPump)
		} else if closed && !on.closed && !on.pending { // else the peer could not confirm
			on.closed = true
			s.state.endOut = true
			closing := func() error { on.close(); return nil } // an error is of no interest: the stream is gone, or its carrier
			if s.state.lost {
				closing = func() error { on.reset(); return nil } // what was forgotten must not look complete
			}
			err = s.finishStream(closing)
		} else if s.state.endDue() {
			s.state.endOut = true
			err = s.finishStream(on.closeWrite)
		} else {
			break
		}
		if err != nil && s.on == on {
			s.streamFailed(on, err)
		}
	}
	s.wake()
}

// finishStream runs what ends a stream, without mu.
func (s *socket) finishStream(end func() error) error {
	s.sending = byPump
	s.mu.Unlock()
	err := end()
	s.mu.Lock()
	s.sending = nobody
	return err
}

// CloseWrite ends our direction after what was written. A Write that waits
// fails.
func (s *socket) CloseWrite() error {
	if end := s.end.Load(); end != nil {
		return s.opError("close", *end)
	}
	s.stopWriting()
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.ended = true
	s.flush()
	return nil
}

// Close ends the socket; a Read or Write that waits returns net.ErrClosed.
func (s *socket) Close() error {
	if !s.finish(net.ErrClosed) {
		return nil
	}
	s.stopWriting()
	s.writer.Lock()
	s.mu.Lock()
	s.state.ended = true
	on := s.on
	if on != nil && !on.pending {
		on.SetReadDeadline(past) // wakes Read
	}
	s.wake()
	s.flush()
	tell := on != nil && !s.telling
	s.telling = s.telling || tell
	done := s.state.delivered() || s.failed != nil
	s.mu.Unlock()
	s.writer.Unlock()
	if tell {
		on.link.tell(s, nil, false)
	}
	if on != nil {
		on.link.released()
	}
	if done {
		s.forget()
	} else {
		s.linger()
	}
	return nil
}

// flush is pump for callers that must not wait for the peer to take what was
// written.
func (s *socket) flush() {
	switch {
	case s.on == nil || s.sending != nobody: // whoever attaches or sends does it
	case len(s.state.unsent()) > 0:
		s.update()
	default:
		s.pump()
	}
}

// abort ends the socket from within: reads and writes return cause, and what
// was not read or not delivered is lost.
func (s *socket) abort(cause error) {
	s.finish(cause)
	s.mu.Lock()
	on := s.detach()
	s.state.discard()
	s.wake()
	s.mu.Unlock()
	s.forget()
	if on != nil {
		on.link.tell(nil, &notice{kind: noticeClosed, dialled: !s.inbound, socket: s.id}, false)
		on.link.released()
		s.overlay.spawn(on.reset) // may wait for a stalled carrier
	}
}

func (s *socket) finish(cause error) bool { return s.end.CompareAndSwap(nil, &cause) }

// stopWriting makes Write return, now and from now on.
func (s *socket) stopWriting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeClosed = true
	if s.sending == byWrite && s.on != nil {
		s.on.setWriteDeadline(past)
	}
	s.wake()
}

func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := s.end.Load(); end != nil {
		return s.opError("set deadline", *end)
	}
	s.readDeadline = t
	s.wake()
	if s.on != nil && !s.on.pending {
		s.on.SetReadDeadline(t)
	}
	return nil
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := s.end.Load(); end != nil {
		return s.opError("set deadline", *end)
	}
	s.writeDeadline = t
	s.wake()
	if s.on != nil && s.sending == byWrite && !s.writeClosed {
		s.on.setWriteDeadline(t)
	}
	return nil
}

// acknowledged takes the position that the peer has told.
func (s *socket) acknowledged(position uint64) {
	s.mu.Lock()
	err := s.state.acknowledge(position)
	s.wake()
	done := s.end.Load() != nil && s.state.delivered()
	s.mu.Unlock()
	switch {
	case err != nil:
		s.abort(err)
	case done:
		s.forget()
	}
}

// peerClosed takes the news that the peer reads no more.
func (s *socket) peerClosed() {
	s.mu.Lock()
	s.refuse()
	done := s.end.Load() != nil
	s.mu.Unlock()
	if done {
		s.forget()
	}
}

// opError gives an error its meaning for programs.
func (s *socket) opError(op string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case s.end.Load() != nil:
		err = *s.end.Load()
	case err == errReset:
		err = syscall.ECONNRESET
	}
	return &net.OpError{Op: op, Net: "kith", Source: s.local, Addr: s.distant, Err: err}
}

// lost says in which words a dial ends when its carrier has.
func (l *link) lost(err error) error {
	if cause := l.cause.Load(); cause != nil {
		return *cause
	}
	return fmt.Errorf("connection to host %s lost (%v): %w", l.peer.Short(), err, kith.Unreachable)
}
