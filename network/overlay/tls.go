package overlay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"kith.alt/kith"
)

// yamuxCarrier is a carrier on any reliable flow of bytes: a TLS connection,
// or a pipe to ourselves.
type yamuxCarrier struct {
	name    string
	session *yamux.Session
	near    netip.AddrPort
	far     netip.AddrPort
	heard   *arrivals
	unread  *unread
}

// newYamuxCarrier multiplexes conn, which it closes when the carrier ends.
func newYamuxCarrier(name string, conn net.Conn, dialled bool) (*yamuxCarrier, error) {
	cfg := yamux.DefaultConfig()
	cfg.LogOutput = io.Discard
	cfg.MaxIncomingStreams = maxStreams
	cfg.InitialStreamWindowSize = 256 << 10
	cfg.MaxStreamWindowSize = maxStreamWindow
	cfg.ConnectionWriteTimeout = pingPatience
	cfg.MeasureRTTInterval = keepAlive
	cfg.KeepAliveInterval = keepAlive + 2*time.Second // put off by the answer to the above; else the peer is dead
	newSession := yamux.Client
	if !dialled {
		// The dialler's pings are enough for both: received, they put off the
		// acceptor's own.
		cfg.KeepAliveInterval = keepAlive + 5*time.Second
		cfg.MeasureRTTInterval = 10 * time.Minute
		newSession = yamux.Server
	}
	c := &yamuxCarrier{name: name, near: addressOf(conn.LocalAddr()), far: addressOf(conn.RemoteAddr())}
	c.unread = &unread{streams: make(map[uint32]*unreadStream)}
	c.heard = &arrivals{Conn: conn, unread: c.unread}
	windows := new(atomic.Int64)
	var err error
	c.session, err = newSession(c.heard, cfg, func() (yamux.MemoryManager, error) { return &windowBudget{total: windows}, nil })
	return c, err
}

func (c *yamuxCarrier) kind() string           { return c.name }
func (c *yamuxCarrier) local() netip.AddrPort  { return c.near }
func (c *yamuxCarrier) remote() netip.AddrPort { return c.far }
func (c *yamuxCarrier) rtt() time.Duration     { return c.session.RTT() }
func (c *yamuxCarrier) arrived() uint64        { return c.heard.bytes.Load() }
func (c *yamuxCarrier) wrote() time.Time       { return time.Unix(0, c.heard.wrote.Load()) }
func (c *yamuxCarrier) onArrival(tell func())  { c.heard.tell.Store(&tell) }
func (c *yamuxCarrier) done() <-chan struct{}  { return c.session.CloseChan() }
func (c *yamuxCarrier) close() error           { return c.session.Close() }

func (c *yamuxCarrier) openStream(ctx context.Context) (stream, error) {
	s, err := c.session.OpenStream(ctx)
	if err != nil {
		return nil, sessionEnded(err)
	}
	return c.newStream(s, false), nil
}

func (c *yamuxCarrier) newStream(s *yamux.Stream, accepted bool) *yamuxStream {
	st := &yamuxStream{Stream: s, unread: c.unread}
	c.unread.begin(st, accepted)
	return st
}

func (c *yamuxCarrier) acceptStream() (stream, error) {
	s, err := c.session.AcceptStream()
	if errors.Is(err, yamux.ErrRemoteGoAway) {
		return nil, errGoodbye
	}
	if err != nil {
		return nil, err
	}
	return c.newStream(s, true), nil
}

// drain says goodbye in the queue of what was written: the peer ends the
// session when it has read that far.
func (c *yamuxCarrier) drain(ctx context.Context) {
	if c.session.GoAway() != nil {
		return
	}
	select {
	case <-c.session.CloseChan():
	case <-ctx.Done():
	}
}

// arrivals counts what comes from the peer. As it cannot see what TCP
// acknowledges, it has the peer told while bytes come that nobody reads and nothing
// goes back: a slow path is not a dead one.
type arrivals struct {
	net.Conn
	unread *unread
	bytes  atomic.Uint64
	tell   atomic.Pointer[func()]
	wrote  atomic.Int64 // when last, in Unix nanoseconds

	told     uint64 // of bytes; of Read alone
	toldLast time.Time
}

const (
	tellBytes = 4 << 10
	tellEvery = doubtAfter / 2
)

func (a *arrivals) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	a.unread.arrive(p[:n])
	if bytes := a.bytes.Add(uint64(n)); bytes-a.told >= tellBytes {
		if now := time.Now(); now.Sub(a.toldLast) >= tellEvery && now.UnixNano()-a.wrote.Load() >= int64(tellEvery) {
			a.told, a.toldLast = bytes, now
			if tell := a.tell.Load(); tell != nil {
				(*tell)()
			}
		}
	}
	return n, err
}

func (a *arrivals) Write(p []byte) (int, error) {
	n, err := a.Conn.Write(p)
	a.wrote.Store(time.Now().UnixNano())
	return n, err
}

// windowBudget bounds by how much the windows of a session may grow together
// beyond the first ones, which are part of yamux's protocol.
type windowBudget struct {
	total *atomic.Int64 // of the session
	taken atomic.Int64  // of the stream
}

func (b *windowBudget) ReserveMemory(size int, priority uint8) error {
	if priority == 255 { // a new stream: limited in number
		return nil
	}
	if b.total.Add(int64(size)) > maxWindow {
		b.total.Add(-int64(size))
		return kith.Quota
	}
	b.taken.Add(int64(size))
	return nil
}

func (b *windowBudget) ReleaseMemory(size int) {
	b.taken.Add(-int64(size))
	b.total.Add(-int64(size))
}

func (b *windowBudget) Done() { b.total.Add(-b.taken.Swap(0)) }

// yamuxStream adapts a yamux stream. Its read deadline never reaches yamux
// while bytes are taken out: yamux loses the window update that it owes when
// the deadline passes at that moment, and the sender would stall in the end.
type yamuxStream struct {
	*yamux.Stream
	unread *unread

	reader sync.Mutex // held by the one Read at a time

	mu       sync.Mutex
	taking   bool
	deadline time.Time
}

func (s *yamuxStream) Read(p []byte) (int, error) {
	s.reader.Lock()
	defer s.reader.Unlock()
	s.mu.Lock()
	late := !s.deadline.IsZero() && !time.Now().Before(s.deadline)
	s.mu.Unlock()
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	if _, err := s.Stream.Read(nil); err != nil { // waits for bytes, takes none
		if err = yamuxError(err); err != os.ErrDeadlineExceeded {
			s.unread.end(s)
		}
		return 0, err
	}
	s.setTaking(true)
	n, err := s.Stream.Read(p)
	s.setTaking(false)
	s.unread.take(s, n)
	err = yamuxError(err)
	if err == io.EOF { // not the stream's: there were bytes
		err = sessionEnded(err)
	}
	return n, err
}

func (s *yamuxStream) setTaking(taking bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taking = taking
	switch {
	case s.deadline.IsZero():
	case taking:
		s.Stream.SetReadDeadline(time.Time{})
	default:
		s.Stream.SetReadDeadline(s.deadline)
	}
}

func (s *yamuxStream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if s.taking {
		return nil
	}
	return s.Stream.SetReadDeadline(t)
}

func (s *yamuxStream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	if err == io.EOF { // the session's
		return n, sessionEnded(err)
	}
	return n, yamuxError(err)
}

func (s *yamuxStream) closeWrite() error { return yamuxError(s.CloseWrite()) }

// close sends FIN and then RST: the peer reads to the end, and its writes
// fail instead of waiting for a window that nobody opens.
func (s *yamuxStream) close() error {
	err := s.CloseWrite()
	s.reset()
	return yamuxError(err)
}

func (s *yamuxStream) reset() {
	s.Reset()
	s.unread.end(s)
}

func yamuxError(err error) error {
	var ended *yamux.StreamError
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.As(err, &ended):
		return errReset
	}
	return sessionEnded(err)
}

// sessionEnded hides what a session's error wraps: the session may have ended
// with io.EOF, but a stream that is cut off has not.
func sessionEnded(err error) error { return fmt.Errorf("session ended: %v", err) }

// prompt is a TLS connection that closes without waiting to say so to a peer
// that may not listen. Streams have ends of their own, so that no data can be
// cut off unnoticed.
type prompt struct{ *tls.Conn }

func (c prompt) Close() error { return c.NetConn().Close() }
