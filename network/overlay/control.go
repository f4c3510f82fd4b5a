package overlay

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// A notice is a message about a socket beside its bytes. Each side sends its
// notices on one stream of the carrier, which begins with a header of its own:
//
//	kind (1) | socket (16) | position (8)
//
// The top bit of the kind says that the sender dialled the socket. Unknown
// kinds are ignored. Notices never wait behind the bytes of a socket whose
// reader is slow, and sockets themselves carry nothing but their bytes.
type notice struct {
	kind     noticeKind
	dialled  bool
	socket   socketID
	position uint64
}

type noticeKind byte

const (
	noticePosition noticeKind = 1 // the sender has read up to position
	noticeClosed   noticeKind = 2 // the sender reads no more
	noticeQuery    noticeKind = 3 // the acceptor holds the socket suspended: does the dialler know it?
	noticeGone     noticeKind = 4 // no
	noticePing     noticeKind = 5 // its number is in place of the position
	noticePong     noticeKind = 6 // the answer, with that number; 0: unasked

	noticeSize   = 1 + 16 + 8
	flagDialled  = 1 << 7
	noticesAhead = 4096 // notices that wait to be sent, beside positions
)

func (n notice) append(b []byte) []byte {
	kind := byte(n.kind)
	if n.dialled {
		kind |= flagDialled
	}
	b = append(append(b, kind), n.socket[:]...)
	return binary.BigEndian.AppendUint64(b, n.position)
}

func readNotice(r io.Reader) (notice, error) {
	var b [noticeSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return notice{}, fmt.Errorf("read notice: %w", err)
	}
	return notice{
		kind: noticeKind(b[0] &^ flagDialled), dialled: b[0]&flagDialled != 0,
		socket: socketID(b[1:17]), position: binary.BigEndian.Uint64(b[17:]),
	}, nil
}

const (
	acknowledgeAfter = 128 << 10      // bytes read: at once,
	acknowledgeDelay = doubtAfter / 2 // fewer: so long after the first,
	acknowledgeLast  = 2 * doubtAfter // or so long, where the peer hears of us anyway
)

// notices is what a link has to tell. A goroutine sends it as long as there
// is something.
type notices struct {
	mu        sync.Mutex
	positions map[*socket]struct{} // whose position is to be told
	others    []notice
	sending   bool
	urgent    chan struct{} // room for one
}

// hurry has what waits sent at once.
func (l *link) hurry() {
	select {
	case l.notices.urgent <- struct{}{}:
	default:
	}
}

// tell has a notice sent, or the position that a socket has by then: within
// acknowledgeDelay, or acknowledgeLast, or at once when it is urgent. Either may be nil.
func (l *link) tell(s *socket, n *notice, urgent bool) {
	q := &l.notices
	q.mu.Lock()
	if s != nil {
		if q.positions == nil {
			q.positions = make(map[*socket]struct{})
		}
		q.positions[s] = struct{}{}
	}
	if n != nil && len(q.others) < noticesAhead {
		q.others = append(q.others, *n)
	}
	start := !q.sending
	q.sending = true
	q.mu.Unlock()
	if urgent {
		l.hurry()
	}
	if start {
		l.overlay.spawn(l.sendNotices)
	}
}

// sendNotices sends what there is and ends when there is nothing left.
func (l *link) sendNotices() {
	q := &l.notices
	timer := time.NewTimer(acknowledgeDelay)
	defer timer.Stop()
	var wire []byte
	var spare map[*socket]struct{}
	var waited time.Duration
	for {
		timer.Reset(acknowledgeDelay)
		select {
		case <-timer.C:
			if waited += acknowledgeDelay; waited < acknowledgeLast && time.Since(l.wrote()) < acknowledgeDelay && q.patient() {
				continue
			}
		case <-q.urgent:
		case <-l.done():
			return
		}
		waited = 0
		q.mu.Lock()
		positions, others := q.positions, q.others
		clear(spare)
		q.positions, q.others, spare = spare, nil, positions
		if len(positions)+len(others) == 0 {
			q.sending = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		wire = wire[:0]
		for _, n := range others {
			wire = n.append(wire)
		}
		for s := range positions {
			wire = s.positionNotice().append(wire)
		}
		if err := l.sendControl(wire); err != nil {
			l.close()
			return
		}
	}
}

// patient reports whether nothing waits but positions of sockets that go on.
func (q *notices) patient() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.positions) == 0 || len(q.others) > 0 {
		return false
	}
	for s := range q.positions {
		if !s.goesOn() {
			return false
		}
	}
	return true
}

// goesOn reports whether neither side has ended the socket or its direction.
func (s *socket) goesOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.Load() == nil && !s.state.eof && !s.state.ended
}

// sendControl writes on our control stream, which it opens at first. Only
// sendNotices calls it.
func (l *link) sendControl(wire []byte) error {
	if l.control == nil {
		ctx, cancel := context.WithTimeout(l.overlay.ctx, pingPatience)
		defer cancel()
		st, err := l.openStream(ctx)
		if err != nil {
			return err
		}
		l.control = st
		wire = append(header{kind: forControl}.append(nil), wire...)
	}
	l.control.SetWriteDeadline(time.Now().Add(pingPatience))
	_, err := l.control.Write(wire)
	return err
}

// hearNotices reads the peer's control stream until it ends.
func (o *Overlay) hearNotices(l *link, st stream) {
	for {
		n, err := readNotice(st)
		if err != nil {
			st.reset()
			return
		}
		l.hear(n)
		switch n.kind {
		case noticePing:
			l.tell(nil, &notice{kind: noticePong, position: n.position}, true)
			continue
		case noticePong:
			continue
		}
		s := o.socketOf(l.peer, n.socket, n.dialled)
		switch {
		case n.kind == noticeQuery && s == nil:
			l.tell(nil, &notice{kind: noticeGone, dialled: !n.dialled, socket: n.socket}, true)
		case s == nil:
		case n.kind == noticeQuery:
			s.missed(l)
		case n.kind == noticePosition:
			s.acknowledged(n.position)
		case n.kind == noticeClosed:
			s.peerClosed()
		case n.kind == noticeGone:
			s.abort(errUnknown)
		}
	}
}

// positionNotice says how far the socket has read.
func (s *socket) positionNotice() notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling, s.urgent = false, false
	n := notice{kind: noticePosition, dialled: !s.inbound, socket: s.id, position: s.state.position()}
	s.state.told = n.position
	if s.end.Load() != nil && !s.state.eof {
		n.kind = noticeClosed
	}
	return n
}
