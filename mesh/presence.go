package mesh

import (
	"context"
	"net/netip"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/network/overlay"
)

const (
	onlineFor = time.Minute // after a member was heard of last

	// How long a heartbeat may be on its way: eight steps from one neighbour to
	// the next, which hands on in five seconds what came meanwhile. What is left
	// of the minute is the longest interval between this host's own heartbeats by
	// which one that came at once and one that took the whole time are not too
	// far from each other.
	beatLate  = 8 * 5 * time.Second
	beatEvery = onlineFor - beatLate // 20 seconds

	// How long a member counts as awake that nothing is known of, after this
	// host has come to be connected: the others' heartbeats come meanwhile.
	arrival = beatEvery + beatLate
)

// A meeting is what is known of one other member. Mesh.mu guards it.
type meeting struct {
	up     bool      // there is a carrier
	heard  time.Time // when something came by it
	seen   time.Time // when the member was last heard of for sure, by a heartbeat or a carrier
	gone   time.Time // since then: when it said goodbye, or did not answer any more; else zero
	missed time.Time // since when it has not been online; zero: it is
	told   bool      // that it is online, is what the owner knows

	dialling bool
	failures int               // dials in a row
	failed   time.Time         // the last of them
	pause    time.Duration     // after it
	next     time.Time         // when to dial again; zero: now
	reached  time.Time         // by a dial: a carrier that ends at once is not dialled anew at once
	wanted   time.Time         // since when a carrier has been missing
	tried    group.Whereabouts // where it did not answer
	refusal  string            // what the member said when it would not have us

	surplus   time.Time          // since when the carrier has been of no use; zero: it is
	releasing bool               // it is being ended
	contact   context.Context    // of the exchanges with the member; nil: there was none
	leave     context.CancelFunc // of contact
	end       context.CancelFunc // of the exchange that we opened; nil: none is under way
	opened    time.Time          // when we opened the last one
	level     time.Time          // when the two had told each other all that they knew
	answering int                // exchanges that the member opened
	quiet     time.Time          // since when there is a carrier and no exchange
}

// hear takes what is known now: the carrier, if there is one, and when the newest
// heartbeat came. One that was on its way when the member said goodbye says
// nothing.
func (met *meeting) hear(peer overlay.PeerInfo, beat time.Time) {
	if met.up = !peer.ID.IsZero(); !met.up {
		met.quiet = time.Time{}
	}
	switch {
	case met.up:
		met.heard, met.seen, met.gone = peer.Heard, peer.Heard, time.Time{}
		if !beat.IsZero() {
			met.seen = beat // so that a carrier which was dead before it ended does not count
		}
		met.failures, met.pause, met.next, met.wanted, met.refusal = 0, 0, time.Time{}, time.Time{}, ""
	case beat.After(met.seen) && (met.gone.IsZero() || beat.After(met.gone.Add(beatLate))):
		met.seen, met.gone = beat, time.Time{}
	}
}

// isOnline reports whether the member has been heard of within a minute.
func (met *meeting) isOnline(now time.Time) bool {
	return met.up && now.Sub(met.heard) < onlineFor || met.gone.IsZero() && !met.seen.IsZero() && now.Sub(met.seen) < onlineFor
}

// mayBeOnline is isOnline; and true when nothing is known and nothing can be,
// as this host was not connected before since. A member that does not answer
// although others hear of it is passed over for some time.
func (met *meeting) mayBeOnline(now, since time.Time) bool {
	switch {
	case met.up:
		return true
	case met.failures > 1 && now.Sub(met.failed) < passOver:
		return false
	case met.isOnline(now):
		return true
	}
	return met.failures == 0 && met.gone.IsZero() && !met.seen.After(since) && (since.IsZero() || now.Sub(since) < arrival)
}

// A Presence is what this host knows of another member being there.
type Presence struct {
	Online  bool      // heard of within a minute
	Seen    time.Time // when it was last heard of; zero: not since this host started
	Refusal string    // what it said when it would not have this host, or ""

	// Of the carrier to it; zero where there is none.
	Path           string  // "lan", "direct" or "relayed"
	Via            kith.ID // the relay, or zero
	Carrier        string
	Address        netip.AddrPort
	RTT            time.Duration // 0 until measured
	Since          time.Time
	Why            string // this path since then
	Sent, Received uint64
}

// Presences returns what is known of the other members. One that it does not
// have joined this moment.
func (m *Mesh) Presences() map[kith.ID]Presence {
	v := m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	presences := make(map[kith.ID]Presence, len(m.meetings))
	for id, met := range m.meetings {
		peer := v.peers[id]
		now := *met
		now.hear(peer, v.heard[id])
		if now.up {
			now.seen = v.now
		}
		presences[id] = Presence{
			Online: now.isOnline(v.now), Seen: now.seen, Refusal: now.refusal,
			Path: peer.Path, Via: peer.Via, Carrier: peer.Carrier, Address: peer.Address, RTT: peer.RTT,
			Since: peer.Since, Why: peer.Why, Sent: peer.Sent, Received: peer.Received,
		}
	}
	return presences
}

// Connected reports whether there was a carrier to a member when this host looked last.
func (m *Mesh) Connected(id kith.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	met := m.meetings[id]
	return met != nil && met.up
}

// Online returns how many members are online, this host included.
func (m *Mesh) Online() int {
	n := 1
	for _, p := range m.Presences() {
		if p.Online {
			n++
		}
	}
	return n
}

// beat tells a large group that this host is awake, when it is time or when it
// has come to be connected, and returns when to do so again.
func (m *Mesh) beat(ctx context.Context, v view) time.Duration {
	if !v.large() || len(v.peers) == 0 {
		m.beaten = time.Time{}
		return beatEvery
	}
	if rest := beatEvery - v.now.Sub(m.beaten); rest > 0 {
		return rest
	}
	m.beaten = v.now
	if err := v.group.Beat(ctx); err != nil {
		m.log.Debug("heartbeat", "err", err)
	}
	return beatEvery
}

// A view is how things are at one moment.
type view struct {
	now    time.Time
	group  *group.Group
	roster *group.Roster
	peers  map[kith.ID]overlay.PeerInfo // members that have a carrier to this host
	aliens []kith.ID                    // hosts that have one and are no members
	heard  map[kith.ID]time.Time        // when the newest heartbeat of a member came
}

// look takes a view.
func (m *Mesh) look() view {
	g, _ := m.cfg.Group()
	v := view{now: time.Now(), group: g, roster: g.Roster(), peers: make(map[kith.ID]overlay.PeerInfo), heard: make(map[kith.ID]time.Time)}
	for _, p := range m.cfg.Overlay.Peers() {
		if _, member := v.roster.Member(p.ID); member {
			v.peers[p.ID] = p
		} else {
			v.aliens = append(v.aliens, p.ID)
		}
	}
	if v.large() {
		for _, member := range v.roster.Members() {
			v.heard[member.ID] = g.Heard(member.ID)
		}
	}
	return v
}

// large reports whether the group is too large for carriers from everybody to
// everybody.
func (v view) large() bool { return len(v.roster.Members()) > smallGroup }
