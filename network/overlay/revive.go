package overlay

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	suspendFor        = 24 * time.Hour
	maxSuspended      = 1024     // sockets of one peer without a path
	maxSuspendedBytes = 32 << 20 // and their memory

	lingerFor      = 2 * time.Hour // that a closed socket waits for the peer to read
	maxClosed      = 1024          // of one peer that wait
	maxClosedBytes = 32 << 20      // and their memory

	reviveFirst = 100 * time.Millisecond // between attempts to find a path, doubled each time
	reviveMost  = 30 * time.Second
	reviveYield = time.Second // head start of the peer when only it can resume
	resumers    = 32          // sockets of one peer that resume at once
)

// carrierLost suspends the sockets of a carrier that has ended, or ends them
// if the peer's process has.
func (o *Overlay) carrierLost(l *link, left bool) {
	for _, s := range l.attached() {
		if left {
			s.peerLeft()
		} else {
			s.lose(l)
		}
	}
	if left {
		for _, s := range o.socketsOf(&l.peer) {
			if s.instance == l.instance && !s.suspendedSince().IsZero() {
				s.abort(errLeft)
			}
		}
	}
	o.trim(l.peer)
	o.revive(l.peer)
}

// lose takes the socket off a carrier that has ended.
func (s *socket) lose(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != nil && s.on.link == l {
		s.detach()
		s.suspend()
	}
}

// peerLeft ends the socket, once what has arrived is read.
func (s *socket) peerLeft() {
	s.mu.Lock()
	s.failed = errLeft
	closed := s.end.Load() != nil
	s.wake()
	s.mu.Unlock()
	if closed {
		s.forget()
	}
}

// trim ends sockets while there are too many without a path, those first that
// have waited longest, or too many that are closed, the oldest first.
func (o *Overlay) trim(peer kith.ID) {
	var suspended, closed []held
	for _, s := range o.socketsOf(&peer) {
		s.mu.Lock()
		h := held{s, s.since, s.state.kept.memory()}
		if !h.since.IsZero() {
			suspended = append(suspended, h)
		}
		if s.lingering != nil {
			h.since = s.opened
			closed = append(closed, h)
		}
		s.mu.Unlock()
	}
	for _, s := range excess(suspended, maxSuspended, maxSuspendedBytes) {
		s.abort(errTooMany)
	}
	for _, s := range excess(closed, maxClosed, maxClosedBytes) {
		s.abort(errLingered)
	}
}

// A held socket waits since some time, and takes memory.
type held struct {
	socket *socket
	since  time.Time
	memory int
}

// excess returns the oldest of a list, as many as there are beyond a number
// or an amount of memory.
func excess(list []held, number, memory int) []*socket {
	slices.SortFunc(list, func(a, b held) int {
		return cmp.Or(a.since.Compare(b.since), a.socket.opened.Compare(b.socket.opened))
	})
	for _, h := range list {
		memory -= h.memory
	}
	var over []*socket
	for _, h := range list {
		if len(list)-len(over) <= number && memory >= 0 {
			break
		}
		memory += h.memory
		over = append(over, h.socket)
	}
	return over
}

var (
	errTooMany  = fmt.Errorf("too many sockets wait for a path to the host (%w): %w", kith.Quota, kith.Unreachable)
	errLingered = fmt.Errorf("the host did not read what was written: %w", kith.Unreachable)
)

// carryOn uses a link that has come into service: the peer is asked about
// sockets that only it can resume, ours move to the peer's current link, and the
// peer's other links must prove that they live, as it may have lost them.
func (o *Overlay) carryOn(l *link) {
	l.onArrival(func() { l.tell(nil, &notice{kind: noticePong}, true) })
	o.askAfter(l)
	o.mu.Lock()
	var others []*link
	if p := o.peers[l.peer]; p != nil && !l.dialled {
		for other := range p.links {
			if other != l {
				others = append(others, other)
			}
		}
	}
	o.mu.Unlock()
	for _, other := range others {
		other.doubt(max(moveDoubt, 3*other.rtt()))
	}
	o.revive(l.peer)
	o.hasten(l.peer)
}

// askAfter asks the peer about the sockets that it has to resume.
func (o *Overlay) askAfter(l *link) {
	for _, s := range o.socketsOf(&l.peer) {
		if s.inbound && !s.suspendedSince().IsZero() {
			l.tell(nil, &notice{kind: noticeQuery, socket: s.id}, true)
		}
	}
}

// missed takes the acceptor's question after a socket that it cannot reach.
// If it is on another link here, that one has failed, at the far end at least.
func (s *socket) missed(l *link) {
	s.mu.Lock()
	on := s.on
	s.mu.Unlock()
	if on != nil && on.link != l {
		on.link.doubt(0)
	}
}

// revive has somebody look after the peer's sockets if they need it.
func (o *Overlay) revive(peer kith.ID) {
	if ours, theirs := o.restless(peer); len(ours)+theirs == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return
	}
	if o.revivals[peer] == nil {
		again := make(chan struct{}, 1)
		o.revivals[peer] = again
		o.tasks.Go(func() { o.reviver(peer, again) })
	}
}

// hasten ends the pause of whoever looks after the peer's sockets.
func (o *Overlay) hasten(peer kith.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.revivals[peer] <- struct{}{}:
	default:
	}
}

func (o *Overlay) hastenAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, again := range o.revivals {
		select {
		case again <- struct{}{}:
		default:
		}
	}
}

// restless returns the sockets that we dialled and that are on no link or on
// one that retires, and the number of suspended ones that the peer dialled.
func (o *Overlay) restless(peer kith.ID) (ours []*socket, theirs int) {
	for _, s := range o.socketsOf(&peer) {
		s.mu.Lock()
		on, suspended := s.on, !s.since.IsZero()
		s.mu.Unlock()
		switch {
		case s.inbound:
			if suspended {
				theirs++
			}
		case suspended || on != nil && o.retires(on.link):
			ours = append(ours, s)
		}
	}
	return ours, theirs
}

func (o *Overlay) retires(l *link) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return l.retired && !l.leaving
}

// reviver seeks a path for the peer's sockets and resumes them, until none
// needs it. It makes an attempt each reviveFirst at most.
func (o *Overlay) reviver(peer kith.ID, again chan struct{}) {
	pause := reviveFirst
	for {
		began := time.Now()
		ours, theirs := o.restless(peer)
		if len(ours)+theirs == 0 || o.ctx.Err() != nil {
			o.mu.Lock()
			delete(o.revivals, peer)
			o.mu.Unlock()
			o.revive(peer) // somebody may have relied on us meanwhile
			return
		}
		l := o.currentLink(peer)
		if l == nil && len(ours) == 0 && pause == reviveFirst && o.sinceMoved() > reviveYield {
			pause = reviveYield // the peer resumes them, or we dial next time
		} else if l == nil {
			var err error
			if l, err = o.linkTo(o.ctx, peer); errors.Is(err, kith.NotMember) {
				o.endSuspended(peer, err)
			}
		}
		if l != nil && len(ours) > 0 && resumeAll(ours, l) {
			pause = reviveFirst
		}
		if l != nil && theirs > 0 { // again: the peer may have forgotten them since it was asked
			o.askAfter(l)
		}
		if o.pause(pause/2+rand.N(pause/2), again) {
			pause = reviveFirst
			o.pause(reviveFirst-time.Since(began), again)
		} else {
			pause = min(2*pause, reviveMost)
		}
	}
}

func (o *Overlay) pause(d time.Duration, again chan struct{}) (hastened bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-again:
		hastened = true
	case <-o.ctx.Done():
	}
	return hastened
}

func (o *Overlay) sinceMoved() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.moved)
}

// resumeAll moves the sockets to the link and reports whether all are settled.
func resumeAll(sockets []*socket, l *link) bool {
	settled := true
	var mu sync.Mutex
	var wg sync.WaitGroup
	limit := make(chan struct{}, resumers)
	for _, s := range sockets {
		limit <- struct{}{}
		wg.Go(func() {
			ok := s.resume(l)
			mu.Lock()
			settled = settled && ok
			mu.Unlock()
			<-limit
		})
	}
	wg.Wait()
	return settled
}

func (o *Overlay) currentLink(peer kith.ID) *link {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.peers[peer]; p != nil && p.current != nil && !p.current.ended() {
		return p.current
	}
	return nil
}

// endSuspended ends the sockets that wait for a peer which we may not reach, or
// which refuses us.
func (o *Overlay) endSuspended(peer kith.ID, cause error) {
	for _, s := range o.socketsOf(&peer) {
		if !s.suspendedSince().IsZero() {
			s.abort(cause)
		}
	}
}
