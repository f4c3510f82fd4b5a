package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/mesh"
	"kith.alt/kith/network/discovery"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/network/underlay"
)

const (
	joinPatience   = 30 * time.Second
	tellPatience   = 2 * time.Second // for a member to hear that we leave
	joinPause      = 2 * time.Second // before the next attempt, when too many join at once
	relayPause     = time.Second     // before a relay is asked again that has not heard of us yet
	wherePatience  = 2 * time.Second // for word of where the inviter is
	lookupPatience = 3 * time.Second // for the inviter by multicast, before its addresses alone are tried
)

// Join moves this host from its group of one into the group of the ticket, and
// returns when admitted. Key, accounts and sites stay. It fails with kind Exists
// where this host has company already that lets it in, and with the admin's reason where it
// is refused; then everything is as it was.
func (n *Node) Join(ctx context.Context, text string) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	ticket, err := group.ParseTicket(text)
	if err != nil {
		return err
	}
	roster := n.group().Roster()
	_, member := roster.Member(n.id)
	member = member && n.shutOut() == ""
	if genesis := roster.Genesis(); member && slices.Equal(genesis[:len(ticket.Genesis)], ticket.Genesis[:]) {
		return nil // used here before
	}
	if others := len(roster.Members()) - 1; member && others > 0 {
		return fmt.Errorf("this computer is in the group %s, with %d others; 'kith leave' first: %w", roster.Group(), others, kith.Exists)
	}
	joined, err := n.joinAs(ctx, ticket, n.name().Host)
	if err != nil {
		return err
	}
	return n.enter(ctx, joined)
}

// shutOut says why this host is out of its group, as far as can be told, else "": a
// member said so, and none lets it in. It was off when it was revoked, and
// nobody brings it the news, as it is no member.
func (n *Node) shutOut() (refusal string) {
	for _, p := range n.mesh.Presences() {
		if p.Carrier != "" {
			return ""
		}
		refusal = cmp.Or(refusal, p.Refusal)
	}
	return refusal
}

// Leave takes this host out of its group, back to a group of one, with key,
// accounts and sites. The members that are awake are told at once.
func (n *Node) Leave(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	g, name := n.group(), n.name()
	if _, member := g.Roster().Member(n.id); member {
		if err := g.Leave(ctx); err != nil {
			return err
		}
		telling, cancel := context.WithTimeout(ctx, tellPatience)
		defer cancel()
		if g.Told(telling) != nil {
			n.event("Nobody in %s was awake when this computer left: ask an admin there to revoke %s.", name.Group, name.Host)
		}
	}
	alone, err := group.Found(n.key, name)
	if err != nil {
		return err
	}
	n.closeOverlay()
	return n.enter(context.WithoutCancel(ctx), alone)
}

// enter makes g this node's group, in place of the one before.
func (n *Node) enter(ctx context.Context, g *group.Group) error {
	if err := n.group().Replace(ctx, g, n.store); err != nil {
		return err
	}
	n.setGroup(g)
	if n.sockets == nil {
		return nil // still opening
	}
	if n.reachable() {
		if err := n.openOverlay(ctx); err != nil {
			n.event("Other members cannot reach this computer: %v", err)
		}
	}
	n.event("This computer is %s now.", n.name())
	n.mesh.Wake()
	return nil
}

// joinAs joins under the name host, or, where another member is called so or
// nearly so, under the form of it that is this host's alone.
func (n *Node) joinAs(ctx context.Context, ticket group.Ticket, host string) (*group.Group, error) {
	joined, err := n.joinGroup(ctx, ticket, host)
	if !errors.Is(err, kith.Exists) {
		return joined, err
	}
	const suffix = 1 + 6 // hyphen and ID.Short
	host = strings.TrimRight(host[:min(len(host), kith.MaxLabel-suffix)], "-")
	joined, err = n.joinGroup(ctx, ticket, host+"-"+n.id.Short())
	if err == nil {
		n.event("The name %s was taken, so this computer is %s.", host, joined.Name().Host)
	}
	return joined, err
}

// joinGroup redeems a ticket and returns the group as the host that redeemed it
// knows it, not stored yet.
func (n *Node) joinGroup(ctx context.Context, ticket group.Ticket, host string) (*group.Group, error) {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	join, err := group.NewJoin(ticket, n.key, host)
	if err != nil {
		return nil, err
	}
	j := n.newJoining()
	defer j.stop()
	request := j.noting(join.Request)
	addresses := mesh.WorthTrying(ticket.Addresses, underlay.System().Interfaces())
	reply, server, err := j.Join(ctx, ticket.Inviter, addresses, request)
	for errors.Is(err, kith.Quota) && pause(ctx, joinPause) { // a whole class joins at once
		reply, server, err = j.Join(ctx, ticket.Inviter, addresses, request)
	}
	if err != nil && server != ticket.Inviter && n.cfg.OverlayHost == "" {
		// Its addresses have changed, are another host's by now, or were
		// never right for us: it may still be on our network.
		if found := n.lookUp(ctx, ticket); len(found) > 0 {
			addresses = found
			reply, server, err = j.Join(ctx, ticket.Inviter, addresses, request)
		}
	}
	if errors.Is(err, kith.Unreachable) && ticket.Introduce {
		n.event("The host that made the ticket does not answer at its addresses; looking for it through the BitTorrent DHT, which may take some minutes.")
		reply, server, addresses, err = j.joinIntroduced(whole, n, ticket, request)
		ctx = whole
	}
	if errors.Is(err, kith.Unreachable) {
		return nil, fmt.Errorf("the host that made the ticket does not answer; is it awake, and on a network that this computer can reach? (%w)", err)
	} else if err != nil {
		return nil, err
	}
	if err := join.Reply(server, reply); err != nil {
		return nil, err
	}
	if err := j.fetch(ctx, join.Group(), server, addresses); err != nil {
		// The group has let us in; the same ticket and key may ask again.
		return nil, fmt.Errorf("read the group's roster from %s (%v); try again: %w", server.Short(), err, kith.Temporary)
	}
	// The roster may be here before any address record: this is where to meet.
	for _, id := range j.there(server) {
		n.mesh.NotePlace(id, addresses)
	}
	return join.Group(), nil
}

// A joining is an overlay with our key that lives as long as we join a group. It
// trusts nobody but the host that lets us in, and takes others that are at the
// addresses of that one for relays.
type joining struct {
	*overlay.Overlay
	stop func()
	log  *slog.Logger

	mu        sync.Mutex
	met       []kith.ID // that answered with their key, each once
	server    kith.ID
	addresses []netip.AddrPort
}

// noting is a request for overlay.Join that notes who was asked.
func (j *joining) noting(request func(kith.ID, []byte) ([]byte, error)) func(kith.ID, []byte) ([]byte, error) {
	return func(server kith.ID, exporter []byte) ([]byte, error) {
		j.mu.Lock()
		if !slices.Contains(j.met, server) {
			j.met = append(j.met, server)
		}
		j.mu.Unlock()
		return request(server, exporter)
	}
}

// relays are the members through which we reached the server, the ones that may be.
func (j *joining) relays() []kith.ID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.met), func(id kith.ID) bool { return id == j.server })
}

// there are the hosts at the addresses: the relays, else the server itself.
func (j *joining) there(server kith.ID) []kith.ID {
	if relays := j.relays(); len(relays) > 0 {
		return relays
	}
	return []kith.ID{server}
}

func (n *Node) newJoining() *joining {
	j := &joining{log: n.log}
	j.Overlay = overlay.New(overlay.Config{
		Key: n.key,
		Admit: func(peer kith.ID, _ []byte) error {
			j.mu.Lock()
			defer j.mu.Unlock()
			if peer != j.server && (j.server.IsZero() || !slices.Contains(j.met, peer)) {
				return fmt.Errorf("this computer is only just joining the group: %w", kith.Temporary)
			}
			return nil
		},
		Addresses: func(kith.ID) []netip.AddrPort {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.addresses
		},
		Relays:   func(kith.ID) []kith.ID { return j.relays() },
		SyncPort: mesh.SyncPort,
		Log:      n.log,
	})
	serving, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.Serve(serving)
	}()
	j.stop = func() {
		cancel()
		<-done
	}
	return j
}

// fetch brings the roster of the group that let us in, and, if it comes soon,
// word of where the server is: who crashes right after joining knows where to
// dial. It tries again while the carrier may have ended under it: members that
// hear of us dial us, too, and a relay may not have heard of us yet.
func (j *joining) fetch(ctx context.Context, g *group.Group, server kith.ID, addresses []netip.AddrPort) error {
	j.mu.Lock()
	j.server, j.addresses = server, addresses
	j.mu.Unlock()

	err := j.fetchOnce(ctx, g, server)
	for range fetches {
		if err == nil || !errors.Is(err, kith.Unreachable) && len(j.relays()) == 0 || !pause(ctx, relayPause) {
			break
		}
		err = j.fetchOnce(ctx, g, server)
	}
	return err
}

// fetches is how often fetch tries again.
const fetches = 10

func (j *joining) fetchOnce(ctx context.Context, g *group.Group, server kith.ID) error {
	conn, err := j.Dial(ctx, kith.Address{Host: server.String(), Port: mesh.SyncPort})
	if err != nil {
		return err
	}
	defer conn.Close()
	var work sync.WaitGroup
	defer work.Wait()
	syncing, done := context.WithCancelCause(ctx)
	defer done(nil)
	work.Go(func() { done(g.Sync(syncing, conn, server, nil)) })
	if err := g.AwaitJoined(syncing); err != nil {
		return errors.Join(context.Cause(syncing), err)
	}
	waiting, cancel := context.WithTimeout(syncing, wherePatience)
	defer cancel()
	if err := g.AwaitWhereabouts(waiting, server); err != nil {
		j.log.Info("no word of where the host is that let us in", "server", server.Short(), "err", err)
	}
	return nil
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lookUp asks the networks that this computer is on for the inviter.
func (n *Node) lookUp(ctx context.Context, ticket group.Ticket) []netip.AddrPort {
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	addresses, err := discovery.Lookup(ctx, mesh.Tag(ticket.Genesis[:], ticket.Inviter))
	if err != nil {
		n.log.Info("look for the inviter by multicast", "err", err)
	}
	return addresses
}
