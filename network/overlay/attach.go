package overlay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"kith.alt/kith"
)

// newSocket attaches a socket to the stream that was opened for it.
func (o *Overlay) newSocket(l *link, st stream, h header, inbound bool) (*socket, error) {
	here, there := kith.Address{Host: o.id.String()}, kith.Address{Host: l.peer.String()}
	peer := kith.Peer{ID: l.peer}
	if inbound {
		here.Port, peer.Program = h.port, h.program
	} else {
		there.Port = h.port
	}
	s := &socket{
		socketKey: socketKey{l.peer, h.socket, inbound},
		overlay:   o, local: here, distant: there, peer: peer, port: h.port, program: h.program,
		instance: l.instance, suspendFor: min(o.cfg.SuspendFor, h.suspend), opened: time.Now(),
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.stopped:
		return nil, errStopped
	case l.gone:
		return nil, l.lost(errLinkGone)
	case o.sockets[s.socketKey] != nil:
		return nil, fmt.Errorf("a socket has that number: %w", kith.Exists)
	}
	b := o.budgets[l.peer]
	if b == nil {
		b = new(budget)
		o.budgets[l.peer] = b
	}
	b.sockets++
	s.state.kept.budget = b
	o.sockets[s.socketKey] = s
	l.sockets[s] = struct{}{}
	s.on = &attachment{stream: st, link: l}
	return s, nil
}

var errLinkGone = errors.New("it has ended")

// forget drops a socket that has ended from the tables.
func (s *socket) forget() {
	s.mu.Lock()
	s.dead = true
	s.resumed()
	if s.lingering != nil {
		s.lingering.Stop()
	}
	left := s.left
	s.left = nil
	s.mu.Unlock()
	o := s.overlay
	if left != nil {
		o.spawn(left.reset)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sockets[s.socketKey] != s {
		return
	}
	delete(o.sockets, s.socketKey)
	if s.on != nil {
		delete(s.on.link.sockets, s)
	}
	b := s.state.kept.budget
	if s.lingering != nil {
		b.closed--
	}
	if b.sockets--; b.sockets == 0 {
		delete(o.budgets, s.host)
	}
}

// linger bounds for how long, and how many, sockets that are closed wait for
// the peer to read what was written.
func (s *socket) linger() {
	o, b := s.overlay, s.state.kept.budget
	s.mu.Lock()
	if s.dead || s.lingering != nil {
		s.mu.Unlock()
		return
	}
	s.lingering = time.AfterFunc(lingerFor, func() { s.abort(errLingered) })
	o.mu.Lock()
	b.closed++
	many := b.closed > maxClosed || b.taken.Load() > maxClosedBytes
	o.mu.Unlock()
	s.mu.Unlock()
	if many {
		o.trim(s.host)
	}
}

// socketsOf returns the sockets of a peer, or all.
func (o *Overlay) socketsOf(peer *kith.ID) []*socket {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*socket
	for _, s := range o.sockets {
		if peer == nil || s.host == *peer {
			list = append(list, s)
		}
	}
	return list
}

func (o *Overlay) socketOf(peer kith.ID, id socketID, inbound bool) *socket {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sockets[socketKey{peer, id, inbound}]
}

// detach takes the socket off its stream and has Read and Write leave it.
func (s *socket) detach() *attachment {
	on := s.on
	if on == nil {
		return nil
	}
	on.SetReadDeadline(past)
	on.setWriteDeadline(past)
	s.overlay.mu.Lock()
	s.on = nil
	delete(on.link.sockets, s)
	s.overlay.mu.Unlock()
	s.wake()
	return on
}

// suspend starts the time in which the socket must find a path.
func (s *socket) suspend() {
	if !s.since.IsZero() || s.dead {
		return
	}
	s.since = time.Now()
	s.timer = time.AfterFunc(s.suspendFor, func() {
		s.mu.Lock()
		late := !s.since.IsZero() && time.Since(s.since) >= s.suspendFor
		s.mu.Unlock()
		if late {
			s.abort(fmt.Errorf("no path to host %s for %v: %w", s.host.Short(), s.suspendFor, kith.Unreachable))
		}
	})
}

// resumed stops it.
func (s *socket) resumed() {
	s.since = time.Time{}
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *socket) suspendedSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// prepare takes the socket off its stream for one with a generation of its own,
// and returns when nobody uses the old one any more, so that our position is
// final.
func (s *socket) prepare(generation uint32) (old *attachment, err error) {
	if s.dead {
		return nil, errDead
	}
	if err := s.state.fence(generation); err != nil {
		return nil, err
	}
	old = s.detach()
	s.suspend()
	for s.reading || s.sending != nobody {
		s.wait(time.Time{})
	}
	if s.state.generation != generation {
		return old, errGeneration
	}
	return old, nil
}

var errDead = errors.New("the socket has ended")

// attach puts the socket on a stream that begins at both positions. It returns
// nil when the link has ended meanwhile. The acceptor's attachment is pending
// until the dialler has confirmed it.
func (s *socket) attach(l *link, st stream) *attachment {
	o := s.overlay
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.gone || o.sockets[s.socketKey] != s {
		return nil
	}
	l.sockets[s] = struct{}{}
	s.on = &attachment{stream: st, link: l, pending: s.inbound}
	s.telling, s.urgent = false, false
	s.pathChanged()
	if !s.inbound && s.end.Load() == nil {
		st.SetReadDeadline(s.readDeadline)
	}
	return s.on
}

// update sends what the stream lacks, apart from whoever attached it.
func (s *socket) update() {
	s.overlay.spawn(func() {
		s.mu.Lock()
		generation := s.state.generation
		s.pump()
		on, closed := s.on, s.end.Load() != nil
		done := closed && s.state.delivered()
		s.mu.Unlock()
		s.overlay.log.Debug("socket resumed", "peer", s.host.Short(), "port", s.port, "generation", generation)
		if closed && on != nil {
			on.link.tell(s, nil, false)
		}
		if done {
			s.forget()
		}
	})
}

// resumePatience is for the peer's answer to a resumption.
const resumePatience = 10 * time.Second

// errUnknown is also what a peer that forgot the socket amounts to.
var errUnknown = fmt.Errorf("the host does not know the socket any more: %w", syscall.ECONNRESET)

// resume moves a socket that we dialled to the link. It reports whether it
// need not be tried again: the socket is there, or has ended.
func (s *socket) resume(l *link) (settled bool) {
	s.mu.Lock()
	if s.resuming || s.on != nil && s.on.link == l {
		s.mu.Unlock()
		return true
	}
	s.resuming = true
	generation := s.state.generation + 1
	old, err := s.prepare(generation)
	if old != nil {
		s.left = old
	}
	h := header{kind: forResuming, socket: s.id, position: position{
		generation: generation, received: s.state.position(), dialler: s.overlay.instance, acceptor: s.instance,
	}}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.resuming = false
		s.mu.Unlock()
		if old != nil {
			old.link.released()
		}
	}()
	if err != nil {
		return true
	}
	if l.instance != s.instance {
		s.abort(errRestarted)
		return true
	}
	ctx, cancel := context.WithTimeout(s.overlay.ctx, resumePatience)
	defer cancel()
	st, err := l.openStream(ctx)
	if err != nil {
		return false
	}
	st.SetReadDeadline(time.Now().Add(resumePatience))
	st.SetWriteDeadline(time.Now().Add(resumePatience))
	answered := l.ask(st)
	theirs, refusal, err := askToResume(st, h)
	answered()
	if errors.Is(refusal, kith.NotFound) {
		s.abort(errUnknown)
	}
	if err != nil || refusal != nil {
		st.reset() // not confirmed: the acceptor waits for another attempt
		return errors.Is(refusal, kith.NotFound)
	}
	st.SetReadDeadline(time.Time{})
	st.SetWriteDeadline(time.Time{})
	s.mu.Lock()
	err = s.state.rewind(theirs)
	attached := err == nil && s.attach(l, st) != nil
	left := s.left
	s.left = nil
	s.mu.Unlock()
	if left != nil { // not before: the acceptor might still have been on it
		s.overlay.spawn(left.reset)
	}
	if err != nil {
		s.abort(err)
	}
	if !attached {
		st.reset()
		return err != nil
	}
	s.update()
	return true
}

// askToResume returns the acceptor's position, after which the acceptor has
// only left to hear that we know it.
func askToResume(st stream, h header) (position uint64, refusal, err error) {
	if _, err := st.Write(h.append(nil)); err != nil {
		return 0, nil, err
	}
	if refusal, err = readVerdict(st); err != nil || refusal != nil {
		return 0, refusal, err
	}
	var b [8]byte
	if _, err = io.ReadFull(st, b[:]); err == nil {
		_, err = st.Write([]byte{confirmed})
	}
	return binary.BigEndian.Uint64(b[:]), nil, err
}

// confirmed is what a dialler says once it has the acceptor's position. Until
// then the end of the stream is that of the attempt, not of the socket.
const confirmed = 1

// answerResume attaches a socket that the peer dialled to a new stream.
func (o *Overlay) answerResume(l *link, st stream, h header) {
	s, old, err := o.takeUp(l, h)
	if old != nil {
		defer func() {
			o.spawn(old.reset)
			old.link.released()
		}()
	}
	if err != nil {
		writeVerdict(st, err)
		st.close()
		return
	}
	s.mu.Lock()
	mine := s.state.position()
	s.mu.Unlock()
	st.SetWriteDeadline(time.Now().Add(resumePatience))
	_, err = st.Write(binary.BigEndian.AppendUint64([]byte{byte(accepted)}, mine))
	st.SetWriteDeadline(time.Time{})
	var on *attachment
	s.mu.Lock()
	if err == nil && s.state.generation == h.position.generation {
		on = s.attach(l, st)
	}
	s.mu.Unlock()
	if on == nil {
		st.reset()
		return
	}
	s.update()
	s.awaitConfirmation(on)
}

// awaitConfirmation has the socket read from a stream once the dialler says
// that it does, and leave it when the dialler gives it up before.
func (s *socket) awaitConfirmation(on *attachment) {
	var b [1]byte
	_, err := io.ReadFull(on, b[:])
	s.mu.Lock()
	switch {
	case s.on != on:
		err = errLinkGone
	case err != nil:
		s.detach()
		s.suspend()
	default:
		on.pending = false
		if s.end.Load() == nil {
			on.SetReadDeadline(s.readDeadline)
		} else {
			s.update()
		}
		s.wake()
	}
	s.mu.Unlock()
	if err != nil {
		on.reset()
		on.link.released()
	}
}

// takeUp checks a resumption and rewinds the socket. Which check failed
// matters little to the peer: the socket is not to be had.
func (o *Overlay) takeUp(l *link, h header) (s *socket, old *attachment, err error) {
	p := h.position
	s = o.socketOf(l.peer, h.socket, true)
	if s == nil || p.acceptor != o.instance || p.dialler != l.instance || p.dialler != s.instance {
		return nil, nil, fmt.Errorf("no such socket: %w", kith.NotFound)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, err = s.prepare(p.generation); err != nil {
		return nil, old, fmt.Errorf("%w: %w", err, kith.Expired)
	}
	if err := s.state.rewind(p.received); err != nil {
		liar := s
		o.spawn(func() { liar.abort(err) })
		return nil, old, fmt.Errorf("%w: %w", err, kith.NotFound)
	}
	return s, old, nil
}
