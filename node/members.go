package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
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

// A meeting is what the node does about one other member. Node.mu guards it.
type meeting struct {
	online   bool
	seen     time.Time // when the member was last connected
	dialling bool
	syncing  bool
	pause    time.Duration // after the last dial, which failed
	next     time.Time     // when to dial again; zero: now
	refusal  string        // what the member said when it would not have us
}

// meetMembers keeps a carrier to every member that can be reached and, over it,
// both rosters the same. Whatever happens, it looks at how things are and does
// what is missing.
func (n *Node) meetMembers(ctx context.Context) error {
	ln, err := n.overlay.Listen(ctx, kith.Address{Port: syncPort})
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer ln.Close()
	work.Go(func() { n.answerSyncs(ctx, ln, &work) })

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-timer.C:
		}
		timer.Reset(n.reconcile(ctx, &work))
	}
}

// nudge has the members service look at how things are.
func (n *Node) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// retry has a member dialled now: there is news of where it is.
func (n *Node) retry(id kith.ID) {
	n.mu.Lock()
	if m := n.meetings[id]; m != nil {
		m.pause, m.next = 0, time.Time{}
	}
	n.mu.Unlock()
	n.nudge()
}

// reconcile compares the roster with the carriers, starts the dials and
// exchanges that are missing, and returns when to look again.
func (n *Node) reconcile(ctx context.Context, work *sync.WaitGroup) time.Duration {
	roster := n.group().Roster()
	peers := n.peers()
	now, wait := time.Now(), longestRetry
	var woke, slept []string

	n.mu.Lock()
	dials := 0
	for _, m := range n.meetings {
		if m.dialling {
			dials++
		}
	}
	for _, member := range roster.Members() {
		if member.ID == n.id {
			continue
		}
		m := n.meetings[member.ID]
		if m == nil {
			m = new(meeting)
			n.meetings[member.ID] = m
		}
		_, online := peers[member.ID]
		if online {
			m.seen, m.pause, m.next, m.refusal = now, 0, time.Time{}, ""
		}
		if online != m.online {
			m.online = online
			if online {
				woke = append(woke, member.Host)
			} else {
				slept = append(slept, member.Host)
			}
		}
		switch {
		case online && !m.syncing && n.opensSync(member.ID):
			m.syncing = true
			work.Go(func() { n.syncWith(ctx, member.ID) })
		case !online && !m.dialling && !m.next.After(now) && dials < dialsAtOnce:
			m.dialling = true
			dials++
			work.Go(func() { n.dialMember(ctx, member.ID, member.Host) })
		case !online && !m.dialling:
			wait = min(wait, max(m.next.Sub(now), firstRetry/4))
		}
	}
	maps.DeleteFunc(n.meetings, func(id kith.ID, _ *meeting) bool {
		_, member := roster.Member(id)
		return !member
	})
	maps.DeleteFunc(n.places, func(_ kith.ID, p place) bool { return now.Sub(p.at) > forgetPlace })
	n.mu.Unlock()

	for _, name := range woke {
		n.event("%s is awake.", name)
	}
	for _, name := range slept {
		n.event("%s is asleep, or cannot be reached.", name)
	}
	for id := range peers {
		if _, member := roster.Member(id); !member {
			time.AfterFunc(lastWord, func() { n.dropStranger(id) })
		}
	}
	return wait
}

// dropStranger ends the carriers of a host that is not, or no longer, a member.
func (n *Node) dropStranger(id kith.ID) {
	if _, member := n.group().Roster().Member(id); !member {
		n.overlay.Drop(id, fmt.Errorf("%s is no longer in the group: %w", id.Short(), kith.NotMember))
	}
}

func (n *Node) dialMember(ctx context.Context, id kith.ID, name string) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	err := n.overlay.Connect(ctx, id)

	n.mu.Lock()
	var refusal string
	if m := n.meetings[id]; m != nil {
		m.dialling = false
		if err != nil {
			m.pause = min(max(2*m.pause, firstRetry), longestRetry)
			m.next = time.Now().Add(m.pause)
		}
		if errors.Is(err, kith.NotMember) && m.refusal != err.Error() {
			m.refusal = err.Error()
			refusal = m.refusal
		}
	}
	n.mu.Unlock()
	if refusal != "" {
		n.event("%s does not let this computer in: %s.", name, refusal)
	}
	n.nudge()
}

// opensSync tells which of two members opens the exchange of rosters.
func (n *Node) opensSync(peer kith.ID) bool { return string(n.id[:]) < string(peer[:]) }

// syncWith opens the exchange with a member and keeps it until it ends. Then,
// after a pause, reconcile opens the next if the carrier is still there.
func (n *Node) syncWith(ctx context.Context, id kith.ID) {
	err := n.syncOnce(ctx, id)
	n.log.Debug("exchange with member ended", "peer", id.Short(), "err", err)
	pause(ctx, firstRetry)
	n.mu.Lock()
	if m := n.meetings[id]; m != nil {
		m.syncing = false
	}
	n.mu.Unlock()
	n.nudge()
}

func (n *Node) syncOnce(ctx context.Context, id kith.ID) error {
	dialling, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	conn, err := n.overlay.Dial(dialling, kith.Address{Host: id.String(), Port: syncPort})
	if err != nil {
		return err
	}
	defer conn.Close()
	return n.group().Sync(ctx, conn, id)
}

func (n *Node) answerSyncs(ctx context.Context, ln net.Listener, work *sync.WaitGroup) {
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
			err := n.group().Sync(ctx, conn, peer.ID)
			n.log.Debug("exchange with member ended", "peer", peer.ID.Short(), "err", err)
		})
	}
}

// watchGroup tells the owner what changes in the group, whichever it is, and has
// the members service act on it.
func (n *Node) watchGroup(ctx context.Context) error {
	for ctx.Err() == nil {
		current := n.current.Load()
		watching, cancel := current.during(ctx)
		for change := range current.Watch(watching) {
			n.tell(change)
			n.nudge()
		}
		cancel()
	}
	return nil
}

// tell puts a change of the roster into words.
func (n *Node) tell(change group.Change) {
	roster := n.group().Roster()
	nameOf := func(id kith.ID) string {
		if m, ok := roster.Member(id); ok {
			return m.Host
		}
		if r, ok := roster.Removal(id); ok {
			return r.Host
		}
		return id.Short()
	}
	for _, m := range change.Added {
		n.event("%s joined the group; %s let it in.", m.Host, nameOf(m.By))
	}
	for _, r := range change.Removed {
		switch r.Why {
		case group.Left:
			n.event("%s left the group.", r.Host)
		case group.Revoked:
			n.event("%s was taken out of the group by %s.", r.Host, nameOf(r.By))
		default:
			n.event("%s is out of the group: %s", r.Host, r.Reason)
		}
	}
	for _, m := range change.Renamed {
		n.event("%s is called %s now.", m.Before, m.Host)
	}
	for _, m := range change.Roles {
		if m.Admin {
			n.event("%s is an admin now.", m.Host)
		} else {
			n.event("%s is no admin any more.", m.Host)
		}
	}
	if change.Group != "" {
		n.event("The group is called %s now.", change.Group)
	}
	if change.Self != nil {
		n.event("This computer is out of the group: %s", change.Self.Reason)
	}
}
