package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

const (
	firstRetry   = time.Second // a member that does not answer is tried again after this,
	longestRetry = time.Minute // then after twice that, up to this, in a large group longer
	dialPatience = 10 * time.Second
	dialsAtOnce  = 8

	yield      = 2 * time.Second // for the one that is behind to dial
	passOver   = 3 * time.Minute // of a member that has not answered twice
	probeEvery = time.Minute     // dials of members that are believed asleep
	idleFor    = 2 * time.Minute // until a carrier that is of no use is ended
	briefly    = 3 * time.Second // a member that is back by then was not asleep, but started again or joined
	parting    = 500 * time.Millisecond

	// A revoked host's carriers end after this, so that the revocation can
	// still be told to it over them. The contract allows two seconds.
	lastWord = 1500 * time.Millisecond
)

// meet compares the carriers with those that there should be, starts the dials
// and exchanges that are missing, releases what is of no use, and returns when
// to look again.
func (m *Mesh) meet(ctx context.Context, v view, work *sync.WaitGroup) time.Duration {
	m.mu.Lock()
	woke, slept := m.updateLocked(v)
	wishes := m.wishesLocked(v)
	m.wishes = wishes
	wait := m.dialLocked(ctx, v, wishes, work)
	m.exchangeLocked(ctx, v, wishes, work)
	surplus := m.surplusLocked(v, wishes)
	m.mu.Unlock()

	for _, name := range woke {
		m.cfg.Event("%s is awake.", name)
	}
	for _, name := range slept {
		m.cfg.Event("%s is asleep, or cannot be reached.", name)
	}
	for _, id := range v.aliens {
		time.AfterFunc(lastWord, func() { m.dropAlien(id) })
	}
	m.release(ctx, surplus, work)
	return wait
}

// updateLocked brings the meetings up to date, and returns the names of those
// that woke and that have fallen asleep, as the owner is to be told.
func (m *Mesh) updateLocked(v view) (woke, slept []string) {
	if m.group != v.group {
		for id := range m.meetings {
			m.forgetLocked(id)
		}
		m.group, m.connected = v.group, time.Time{}
	}
	for id := range m.meetings {
		if _, member := v.roster.Member(id); !member {
			m.forgetLocked(id)
		}
	}
	maps.DeleteFunc(m.places, func(_ kith.ID, p place) bool { return v.now.Sub(p.at) > forgetPlace })
	switch {
	case len(v.peers) == 0:
		m.connected = time.Time{}
	case m.connected.IsZero():
		m.connected, m.probed = v.now, v.now.Add(-rand.N(probeEvery))
	}
	for _, member := range v.roster.Members() {
		if member.ID == m.id {
			continue
		}
		met := m.meetings[member.ID]
		if met == nil {
			met = new(meeting)
			m.meetings[member.ID] = met
		}
		met.hear(v.peers[member.ID], v.heard[member.ID])
		if met.failures > 0 && !same(met.tried, v.group.Whereabouts(member.ID)) {
			met.retry()
		}
		if met.isOnline(v.now) {
			met.missed = time.Time{}
			if !met.told {
				woke, met.told = append(woke, member.Host), true
			}
			continue
		}
		if met.missed.IsZero() {
			met.missed = v.now
			met.part()
		}
		if met.told && v.now.Sub(met.missed) >= briefly {
			slept, met.told = append(slept, member.Host), false
		}
	}
	return woke, slept
}

func (m *Mesh) forgetLocked(id kith.ID) {
	m.meetings[id].part()
	delete(m.meetings, id)
}

// A wish is a member that there should be a carrier to.
type wish struct {
	id        kith.ID
	after     time.Duration // that it has been missing, to dial
	neighbour bool          // on the ring
}

func wanted(wishes []wish, id kith.ID) bool {
	return slices.ContainsFunc(wishes, func(w wish) bool { return w.id == id })
}

// wishesLocked returns whom to keep carriers to, the most urgent first. A host
// that is not connected at all wants everybody.
func (m *Mesh) wishesLocked(v view) []wish {
	awake := func(id kith.ID) bool {
		met := m.meetings[id]
		return met != nil && met.mayBeOnline(v.now, m.connected)
	}
	ahead, behind := neighbours(m.id, m.ring.of(v.roster), awake)
	var wishes []wish
	want := func(ids []kith.ID, after time.Duration) {
		for _, id := range ids {
			if id != m.id && m.meetings[id] != nil && !wanted(wishes, id) {
				neighbour := slices.Contains(ahead, id) || slices.Contains(behind, id)
				wishes = append(wishes, wish{id, after, neighbour})
			}
		}
	}
	alone := v.large() && len(v.peers) == 0
	if alone {
		want(slices.Collect(maps.Keys(m.places)), 0)
		want(v.group.Whereabouts(m.id).Relays, 0) // they were neighbours
	}
	want(ahead, 0)
	if v.large() {
		want(m.anchorsLocked(v), 0)
		want(behind, yield)
	}
	if alone {
		want(m.shuffledLocked(), yield)
	}
	return wishes
}

// anchorsLocked are the reachable members that a host which is not reachable
// keeps carriers to, so that others reach it through them.
func (m *Mesh) anchorsLocked(v view) []kith.ID {
	if m.own.NAT == natOpen {
		return nil
	}
	var choices []choice
	for id, met := range m.meetings {
		if met.mayBeOnline(v.now, m.connected) && v.group.Whereabouts(id).NAT == natOpen {
			choices = append(choices, choice{id: id, order: orderOf(m.id, id)})
		}
	}
	return choose(choices, anchored)
}

// shuffledLocked are all others, in an order that is another on every host.
func (m *Mesh) shuffledLocked() []kith.ID {
	ids := slices.Collect(maps.Keys(m.meetings))
	slices.SortFunc(ids, func(a, b kith.ID) int {
		x, y := orderOf(m.id, a), orderOf(m.id, b)
		return bytes.Compare(x[:], y[:])
	})
	return ids
}

// dialLocked dials those that are missing, and now and then one that is
// believed asleep: that heals a group which has fallen apart.
func (m *Mesh) dialLocked(ctx context.Context, v view, wishes []wish, work *sync.WaitGroup) time.Duration {
	wait := longestRetry
	dials := 0
	for _, met := range m.meetings {
		if met.dialling {
			dials++
		}
	}
	dial := func(id kith.ID, met *meeting) {
		met.dialling = true
		dials++
		work.Go(func() { m.dial(ctx, id) })
	}
	for _, w := range wishes {
		met := m.meetings[w.id]
		if met.up || met.dialling {
			continue
		}
		if met.wanted.IsZero() {
			met.wanted = v.now
		}
		due := max(met.next.Sub(v.now), met.reached.Add(firstRetry).Sub(v.now), met.wanted.Add(w.after).Sub(v.now))
		if due <= 0 && dials < dialsAtOnce {
			dial(w.id, met)
		} else {
			wait = min(wait, max(due, firstRetry/4))
		}
	}
	if !v.large() || m.connected.IsZero() {
		return wait
	}
	if rest := probeEvery - v.now.Sub(m.probed); rest > 0 {
		return min(wait, rest)
	}
	m.probed = v.now
	var asleep []kith.ID
	for id, met := range m.meetings {
		if !met.isOnline(v.now) && !met.dialling {
			asleep = append(asleep, id)
		}
	}
	if len(asleep) > 0 {
		id := asleep[rand.N(len(asleep))]
		dial(id, m.meetings[id])
	}
	return min(wait, probeEvery)
}

// dial tries to reach a member once.
func (m *Mesh) dial(ctx context.Context, id kith.ID) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	err := m.cfg.Overlay.Connect(ctx, id)
	if err != nil {
		m.log.Debug("member does not answer", "peer", id.Short(), "err", err)
	}

	g, _ := m.cfg.Group()
	members := len(g.Roster().Members())
	m.mu.Lock()
	refused := false
	if met := m.meetings[id]; met != nil {
		met.dialling = false
		if err != nil {
			met.fail(time.Now(), members)
			met.tried = g.Whereabouts(id)
		} else {
			met.reached = time.Now()
		}
		if errors.Is(err, kith.NotMember) && met.refusal != err.Error() {
			met.refusal, refused = err.Error(), true
		}
	}
	m.mu.Unlock()
	if refused {
		m.cfg.Event("%s does not let this computer in: %s.", nameOf(g, id), err)
	}
	m.Wake()
}

// fail notes a dial without success. In a small group, where everybody has a
// carrier to everybody, a member that does not answer is not there. The larger
// the group, the longer are the pauses at last, so that a host that is cut off
// does not try everybody all the time.
func (met *meeting) fail(now time.Time, members int) {
	met.failures++
	met.failed = now
	met.pause = min(max(2*met.pause, firstRetry), longestRetry*time.Duration(1+members/(2*smallGroup)))
	met.next = now.Add(met.pause)
	if members <= smallGroup && met.gone.IsZero() && !met.up {
		met.gone = now
	}
}

// retry has a member dialled at once: there is news of where it is.
func (met *meeting) retry() { met.failures, met.pause, met.next = 0, 0, time.Time{} }

// surplusLocked returns the members that this host dialled and has not wanted
// for some time, not even to relay.
func (m *Mesh) surplusLocked(v view, wishes []wish) []kith.ID {
	relaying := make(map[kith.ID]bool)
	for _, p := range v.peers {
		relaying[p.Via] = true
	}
	var surplus []kith.ID
	for id, met := range m.meetings {
		if p, up := v.peers[id]; !up || !p.Dialled || relaying[id] || wanted(wishes, id) {
			met.surplus = time.Time{}
		} else if met.surplus.IsZero() {
			met.surplus = v.now
		} else if v.now.Sub(met.surplus) >= idleFor && !met.releasing {
			surplus = append(surplus, id)
		}
	}
	return surplus
}

// release ends the carriers to those that no socket needs. The exchanges with
// them end first, so that neither side seeks a path for them afterwards.
func (m *Mesh) release(ctx context.Context, surplus []kith.ID, work *sync.WaitGroup) {
	if len(surplus) == 0 {
		return
	}
	busy := make(map[kith.ID]bool)
	for _, s := range m.cfg.Overlay.Sockets() {
		busy[s.Peer] = busy[s.Peer] || s.Port != SyncPort
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range surplus {
		met := m.meetings[id]
		if met == nil || met.releasing {
			continue
		}
		if busy[id] {
			met.surplus = time.Time{}
			continue
		}
		met.releasing = true
		met.part()
		work.Go(func() {
			select {
			case <-time.After(parting):
				m.cfg.Overlay.Release(id)
			case <-ctx.Done():
			}
			m.mu.Lock()
			if met := m.meetings[id]; met != nil {
				met.releasing, met.surplus = false, time.Time{}
			}
			m.mu.Unlock()
			m.Wake()
		})
	}
}

// dropAlien ends the carriers of a host that is not, or no longer, a member.
func (m *Mesh) dropAlien(id kith.ID) {
	g, _ := m.cfg.Group()
	if _, member := g.Roster().Member(id); !member {
		m.cfg.Overlay.Drop(id, fmt.Errorf("%s is no longer in the group: %w", id.Short(), kith.NotMember))
	}
}

// A ring is the ring of the roster that it was asked for last.
type ring struct {
	roster *group.Roster
	seats  []seat
}

func (r *ring) of(roster *group.Roster) []seat {
	if r.roster != roster {
		r.roster, r.seats = roster, ringOf(roster.Genesis(), roster.Members())
	}
	return r.seats
}

func nameOf(g *group.Group, id kith.ID) string {
	if member, ok := g.Roster().Member(id); ok {
		return member.Host
	}
	return id.Short()
}
