package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	firstRetry   = time.Second // a member that does not answer is tried again after this,
	longestRetry = time.Minute // then after twice that, up to this
	dialPatience = 10 * time.Second
	dialsAtOnce  = 8

	// A revoked host's carriers end after this, so that the revocation can
	// still be told to it over them. The contract allows two seconds.
	lastWord = 300 * time.Millisecond
)

// A meeting is what is done about one other member. Mesh.mu guards it.
type meeting struct {
	online   bool
	seen     time.Time // when the member was last connected
	dialling bool
	syncing  bool
	pause    time.Duration // after the last dial, which failed
	next     time.Time     // when to dial again; zero: now
	refusal  string        // what the member said when it would not have us
}

// retry has a member dialled now: there is news of where it is.
func (m *Mesh) retry(id kith.ID) {
	m.mu.Lock()
	if met := m.meetings[id]; met != nil {
		met.pause, met.next = 0, time.Time{}
	}
	m.mu.Unlock()
	m.Wake()
}

// reconcile compares the roster with the carriers, starts the dials and
// exchanges that are missing, and returns when to look again.
func (m *Mesh) reconcile(ctx context.Context, work *sync.WaitGroup) time.Duration {
	g := m.currentGroup()
	roster := g.Roster()
	peers := m.peers()
	now, wait := time.Now(), longestRetry
	var woke, slept []string

	m.mu.Lock()
	if m.group != g {
		m.group = g
		clear(m.meetings)
	}
	dials := 0
	for _, met := range m.meetings {
		if met.dialling {
			dials++
		}
	}
	for _, member := range roster.Members() {
		if member.ID == m.cfg.ID {
			continue
		}
		met := m.meetings[member.ID]
		if met == nil {
			met = new(meeting)
			m.meetings[member.ID] = met
		}
		_, online := peers[member.ID]
		if online {
			met.seen, met.pause, met.next, met.refusal = now, 0, time.Time{}, ""
		}
		if online != met.online {
			met.online = online
			if online {
				woke = append(woke, member.Host)
			} else {
				slept = append(slept, member.Host)
			}
		}
		switch {
		case online && !met.syncing && m.opensSync(member.ID):
			met.syncing = true
			work.Go(func() { m.syncWith(ctx, member.ID) })
		case !online && !met.dialling && !met.next.After(now) && dials < dialsAtOnce:
			met.dialling = true
			dials++
			work.Go(func() { m.dialMember(ctx, member.ID, member.Host) })
		case !online && !met.dialling:
			wait = min(wait, max(met.next.Sub(now), firstRetry/4))
		}
	}
	maps.DeleteFunc(m.meetings, func(id kith.ID, _ *meeting) bool {
		_, member := roster.Member(id)
		return !member
	})
	maps.DeleteFunc(m.places, func(_ kith.ID, p place) bool { return now.Sub(p.at) > forgetPlace })
	m.mu.Unlock()

	for _, name := range woke {
		m.cfg.Event("%s is awake.", name)
	}
	for _, name := range slept {
		m.cfg.Event("%s is asleep, or cannot be reached.", name)
	}
	for id := range peers {
		if _, member := roster.Member(id); !member {
			time.AfterFunc(lastWord, func() { m.dropStranger(id) })
		}
	}
	return wait
}

// dropStranger ends the carriers of a host that is not, or no longer, a member.
func (m *Mesh) dropStranger(id kith.ID) {
	if _, member := m.currentGroup().Roster().Member(id); !member {
		m.cfg.Overlay.Drop(id, fmt.Errorf("%s is no longer in the group: %w", id.Short(), kith.NotMember))
	}
}

func (m *Mesh) dialMember(ctx context.Context, id kith.ID, name string) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	err := m.cfg.Overlay.Connect(ctx, id)

	m.mu.Lock()
	var refusal string
	if met := m.meetings[id]; met != nil {
		met.dialling = false
		if err != nil {
			met.pause = min(max(2*met.pause, firstRetry), longestRetry)
			met.next = time.Now().Add(met.pause)
		}
		if errors.Is(err, kith.NotMember) && met.refusal != err.Error() {
			met.refusal = err.Error()
			refusal = met.refusal
		}
	}
	m.mu.Unlock()
	if refusal != "" {
		m.cfg.Event("%s does not let this computer in: %s.", name, refusal)
	}
	m.Wake()
}

// opensSync tells which of two members opens the exchange of rosters.
func (m *Mesh) opensSync(peer kith.ID) bool { return string(m.cfg.ID[:]) < string(peer[:]) }

// syncWith opens the exchange with a member and keeps it until it ends. Then,
// after a pause, reconcile opens the next if the carrier is still there.
func (m *Mesh) syncWith(ctx context.Context, id kith.ID) {
	err := m.syncOnce(ctx, id)
	m.log.Debug("exchange with member ended", "peer", id.Short(), "err", err)
	select {
	case <-time.After(firstRetry):
	case <-ctx.Done():
	}
	m.mu.Lock()
	if met := m.meetings[id]; met != nil {
		met.syncing = false
	}
	m.mu.Unlock()
	m.Wake()
}

func (m *Mesh) syncOnce(ctx context.Context, id kith.ID) error {
	dialling, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	conn, err := m.cfg.Overlay.Dial(dialling, kith.Address{Host: id.String(), Port: SyncPort})
	if err != nil {
		return err
	}
	defer conn.Close()
	return m.currentGroup().Sync(ctx, conn, id, nil)
}

func (m *Mesh) answer(ctx context.Context, ln net.Listener, work *sync.WaitGroup) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		peer, ok := kith.PeerOf(conn)
		if !ok {
			conn.Close()
			continue
		}
		work.Go(func() {
			defer conn.Close()
			err := m.currentGroup().Sync(ctx, conn, peer.ID, nil)
			m.log.Debug("exchange with member ended", "peer", peer.ID.Short(), "err", err)
		})
	}
}
