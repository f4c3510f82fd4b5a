package overlay

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// How long a link may be silent while somebody waits for the peer.
const (
	doubtAfter = time.Second      // or 4 round trips: then a ping is sent
	stallAfter = 3 * time.Second  // or 8 round trips more: then another carrier is sought
	giveUp     = 25 * time.Second // in all: then the carrier is ended

	moveDoubt = 300 * time.Millisecond // or 3 round trips: in place of stallAfter, when paths have changed

	waitingTick = doubtAfter / 4  // how exactly silence is measured
	mostRest    = 16 * doubtAfter // between pings while nothing new is sent
)

// A vigil is how a link finds out that its path is dead. It runs only while
// bytes, a question or a ping wait for an answer; an idle carrier pings for
// itself.
//
// On TCP whatever arrives is a sign of life: nothing new comes while the peer gets
// no acknowledgements, and an answer may have to wait behind much else. On QUIC
// packets arrive also while the peer gets none of ours, the same bytes again and
// again. There the peer's notices are signs of life and, while a ping is under way,
// its answer alone: another one may have been on its way when paths changed.
//
// A link that is silent for too long has stalled: its sockets count as
// suspended, and another carrier is sought. They stay where they are until there is
// one, and go on if the link is heard of again before.
type vigil struct {
	running atomic.Bool
	stalled atomic.Bool
	rtt     atomic.Int64 // when last looked

	mu       sync.Mutex // taken before those of sockets and Overlay.mu
	timer    *time.Timer
	notices  uint64 // that are signs of life, on QUIC
	signs    uint64 // of life, when last looked
	since    time.Time
	arrived  uint64        // bytes, when last looked
	sent     uint64        // likewise
	rest     time.Duration // silence before the next ping; longer while the peer just does not read
	doubtful bool          // a ping is under way
	pings    uint64        // number of the last one
	until    time.Time     // how long it may take
	asked    map[stream]struct{}
}

// watch has the link prove that it lives. It is called when something begins to
// wait for the peer.
func (l *link) watch() {
	v := &l.vigil
	if v.running.Load() || !v.running.CompareAndSwap(false, true) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.signs, v.since = l.signsLocked(), time.Now()
	l.lookAfter(waitingTick)
}

// signsLocked counts the signs of life. The vigil's mu is held.
func (l *link) signsLocked() uint64 {
	if l.kind() == carrierQUIC {
		return l.vigil.notices
	}
	return l.arrived()
}

// hear takes the peer's notice as a sign of life, if it is one.
func (l *link) hear(n notice) {
	v := &l.vigil
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.doubtful || n.kind == noticePong && n.position == v.pings {
		v.notices++
	}
}

func (l *link) lookAfter(d time.Duration) {
	if v := &l.vigil; v.timer == nil {
		v.timer = time.AfterFunc(d, l.look)
	} else {
		v.timer.Reset(d)
	}
}

// doubt pings the peer, and has the link stall unless there is a sign of life
// within patience.
func (l *link) doubt(patience time.Duration) {
	v := &l.vigil
	v.mu.Lock()
	if !v.stalled.Load() {
		now := time.Now()
		if signs := l.signsLocked(); signs != v.signs || !v.running.Load() {
			v.signs, v.since = signs, now
		}
		if until := now.Add(patience); !v.doubtful || until.Before(v.until) {
			v.doubtful, v.until = true, until
			v.pings++
		}
		v.running.Store(true)
		l.lookAfter(min(patience, waitingTick))
	}
	ping := notice{kind: noticePing, position: v.pings}
	v.mu.Unlock()
	l.tell(nil, &ping, true)
}

// ask notes that the answer to a question is awaited on a stream of the
// link. The stream's deadlines pass when the link stalls; who has the answer sets
// them anew after answered.
func (l *link) ask(st stream) (answered func()) {
	v := &l.vigil
	v.mu.Lock()
	if v.asked == nil {
		v.asked = make(map[stream]struct{})
	}
	v.asked[st] = struct{}{}
	v.mu.Unlock()
	l.watch()
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.asked, st)
	}
}

// look draws the conclusions from what has arrived since it looked last.
func (l *link) look() {
	v := &l.vigil
	if l.ended() {
		return
	}
	rtt := l.rtt()
	v.rtt.Store(int64(rtt))
	now := time.Now()
	v.mu.Lock()
	if sent := l.sent.Load(); sent != v.sent || v.rest == 0 || len(v.asked) > 0 {
		v.sent, v.rest = sent, doubtAfter
	}
	signs, arrived := l.signsLocked(), l.arrived()
	alive := signs != v.signs
	ping := v.doubtful && !alive && arrived != v.arrived // again: the path may be back
	if v.arrived = arrived; alive {
		if v.doubtful {
			v.rest = min(2*v.rest, mostRest)
		}
		v.signs, v.since, v.doubtful = signs, now, false
	}
	silence := now.Sub(v.since)
	stalled := v.stalled.Load()
	next := max(waitingTick, rtt, v.rest/8)
	switch {
	case alive:
		v.stalled.Store(false)
	case stalled:
	case v.doubtful:
		if !now.Before(v.until) {
			v.stalled.Store(true)
		}
		next = min(next, max(v.until.Sub(now), time.Millisecond))
	case len(v.asked) == 0 && !l.outstanding():
		next = 0
	case silence >= max(v.rest, 4*rtt):
		ping = true
		v.pings++
		v.doubtful, v.until = true, now.Add(max(stallAfter, 8*rtt))
	}
	number := v.pings
	changed := stalled != v.stalled.Load()
	v.running.Store(next > 0)
	if next > 0 {
		l.lookAfter(min(next, max(giveUp-silence, time.Millisecond)))
	}
	v.mu.Unlock()

	switch {
	case changed:
		l.overlay.spawn(func() { l.overlay.settle(l) })
	case silence >= giveUp:
		l.finish(errStalled)
	case ping:
		l.tell(nil, &notice{kind: noticePing, position: number}, true)
	case next == 0 && l.outstanding(): // it began meanwhile, and saw us running
		l.watch()
	}
}

var errStalled = fmt.Errorf("the host does not answer any more: %w", kith.Unreachable)

// settle makes a link that has stalled, or goes on, what it is now: its sockets
// count as suspended, or do not, and the peer's current link is one that
// works.
func (o *Overlay) settle(l *link) {
	o.mu.Lock()
	stalled := l.vigil.stalled.Load()
	if p := o.peers[l.peer]; p != nil && !l.gone {
		switch {
		case stalled && p.current == l:
			p.lost = errStalled
			p.succeed(l)
		case !stalled && p.current == nil && !l.leaving:
			p.current, l.retired = l, false
			if p.attempt != nil {
				p.attempt.cancel(l.adopted())
			}
		case !stalled && p.current != l && l.rank() > p.current.rank():
			p.current.retireLocked()
			p.current, l.retired = l, false
		case !stalled && p.current != l:
			l.retireLocked()
		}
	}
	o.mu.Unlock()
	o.log.Debug("carrier silent", "peer", l.peer.Short(), "carrier", l.kind(), "stalled", stalled)
	o.tellPeer(l.peer)
	for _, s := range l.attached() {
		s.mu.Lock()
		if s.on != nil && s.on.link == l {
			s.pathChanged()
		}
		s.mu.Unlock()
	}
	if !stalled {
		return
	}
	v := &l.vigil
	v.mu.Lock()
	for st := range v.asked { // a reset might come when the answer just has, and end the socket
		st.SetReadDeadline(past)
		st.SetWriteDeadline(past)
	}
	v.mu.Unlock()
	o.trim(l.peer)
	if other := o.currentLink(l.peer); other != nil {
		o.askAfter(other)
	}
	o.revive(l.peer)
	o.hasten(l.peer)
}

// pathChanged suspends an attached socket while its link has stalled.
func (s *socket) pathChanged() {
	if s.on.link.vigil.stalled.Load() {
		s.suspend()
	} else {
		s.resumed()
	}
	s.wake()
}

// heard is when bytes came from a peer, as found out by whoever asks.
type heard struct {
	mu    sync.Mutex
	bytes uint64    // that had arrived
	at    time.Time // when that was seen first
}

// lastHeard returns when something had come from the peer: the time of the
// call, if that was since the call before. Keep-alives count. A carrier that has
// been silent for longer than keepAlive and pingPatience has ended.
func (l *link) lastHeard() time.Time {
	h := &l.heard
	h.mu.Lock()
	defer h.mu.Unlock()
	if arrived := l.arrived(); h.at.IsZero() || arrived != h.bytes {
		h.bytes, h.at = arrived, time.Now()
	}
	return h.at
}

// window is how many bytes a socket keeps on the link: what passes within the
// round trip at 2 Gbit/s.
func (l *link) window() uint64 {
	const rate = 256 << 20 // bytes a second
	rtt := l.vigil.rtt.Load()
	if rtt == 0 || rtt > int64(time.Second) {
		return maxUnacknowledged
	}
	return uint64(min(max(rtt*rate/int64(time.Second), minUnacknowledged), maxUnacknowledged))
}

// outstanding reports whether a socket on the link waits for an
// acknowledgement.
func (l *link) outstanding() bool {
	for _, s := range l.attached() {
		s.mu.Lock()
		n := s.state.outstanding()
		s.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

// Moved looks at every carrier now, since interfaces of this host or its
// addresses have changed, or it woke from sleep. Carriers from an address that
// is gone end at once, and those that retire, which must not take their place;
// the others must answer within moveDoubt. A path is sought at once for sockets
// that have none.
func (o *Overlay) Moved() {
	own := make(map[netip.Addr]bool)
	for _, prefix := range o.cfg.Internet.Interfaces() {
		own[prefix.Addr().Unmap().WithZone("")] = true
	}
	o.contacts.wakeAll() // before attempts begin anew
	o.mu.Lock()
	o.moved = time.Now()
	o.reached = reached{}         // that was elsewhere, or may have been
	links := make(map[*link]bool) // to whether it retires
	for l := range o.links {
		if l.peer != o.id {
			links[l] = l.retired
		}
	}
	for _, p := range o.peers {
		if p.attempt != nil {
			p.attempt.cancel(errMoved)
		}
	}
	o.mu.Unlock()
	o.hastenAll()
	for l, retires := range links {
		l.hasHint()
		if from := l.local().Addr(); retires || from.IsValid() && !own[from.Unmap().WithZone("")] {
			l.finish(errMoved)
		} else {
			l.doubt(max(moveDoubt, 3*l.rtt()))
		}
	}
	o.spawn(o.observe)
}

var errMoved = fmt.Errorf("this host has other addresses now: %w", kith.Temporary)
