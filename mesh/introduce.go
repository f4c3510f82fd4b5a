package mesh

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/rendezvous"
)

const (
	strangeAfter = 30 * time.Second // that a member has been missing, until it is sought in the DHT
	seekEvery    = 10 * time.Second // looks at who is missing
	soughtAtOnce = smallGroup - 1
)

// A target is whom to meet in the DHT: a member, or whoever has a ticket.
type target struct {
	member kith.ID // zero: whoever knows the secret
	secret [32]byte
}

// Invite has whoever comes with a ticket met in the DHT, under a secret of the
// ticket's, until then.
func (m *Mesh) Invite(secret [32]byte, until time.Time) {
	m.mu.Lock()
	m.invitations[secret] = until
	m.mu.Unlock()
	select {
	case m.seekNow <- struct{}{}:
	default:
	}
}

// introduce meets hosts that nobody here knows the way to through the BitTorrent
// DHT, where both of a pair publish under a secret of theirs: those who come
// with a ticket that says so, and, where the owner wants it, members that moved
// like this host while all others slept. It takes part in the DHT as long as
// somebody is missing and the overlay's port is open.
func (m *Mesh) introduce(ctx context.Context) {
	tick := time.NewTicker(seekEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.seekNow:
		}
		if m.cfg.Port() == 0 || len(m.targets()) == 0 {
			continue
		}
		if err := m.seek(ctx); err != nil {
			m.log.Warn("look for hosts in the DHT", "err", err)
		}
	}
}

// targets are whom to meet now.
func (m *Mesh) targets() []target {
	var list []target
	m.mu.Lock()
	for secret, until := range m.invitations {
		if time.Now().After(until) {
			delete(m.invitations, secret)
		} else {
			list = append(list, target{secret: secret})
		}
	}
	m.mu.Unlock()
	if !m.cfg.Introduce() {
		return list
	}
	for _, id := range m.missing() {
		secret, err := rendezvous.PairSecret(m.cfg.Key, id)
		if err != nil {
			m.log.Warn("secret with member", "peer", id.Short(), "err", err)
			continue
		}
		list = append(list, target{id, secret})
	}
	return list
}

// seek takes part in the DHT until nobody is missing or the port is shut.
func (m *Mesh) seek(ctx context.Context) error {
	packets, err := m.cfg.Overlay.Packets()
	if err != nil {
		return err
	}
	defer packets.Close()
	dht := rendezvous.New(rendezvous.Config{Conn: packets, Bootstrap: m.cfg.Bootstrap, Log: m.log.With("service", "rendezvous")})
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work.Go(func() {
		defer cancel()
		if err := dht.Serve(ctx); err != nil {
			m.log.Warn("take part in the DHT", "err", err)
		}
	})

	seeking := make(map[target]context.CancelFunc)
	port := m.cfg.Port()
	tick := time.NewTicker(seekEvery)
	defer tick.Stop()
	for {
		targets := m.targets()
		if len(targets) == 0 || m.cfg.Port() != port {
			return nil
		}
		for t, stop := range seeking {
			if !slices.Contains(targets, t) {
				stop()
				delete(seeking, t)
			}
		}
		for _, t := range targets {
			if seeking[t] == nil {
				meeting, stop := context.WithCancel(ctx)
				seeking[t] = stop
				work.Go(func() { m.rendezvous(meeting, dht, t) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.seekNow:
		}
	}
}

// rendezvous meets one target in the DHT. A member is dialled where it says that
// it is; for a newcomer this host's router is opened.
func (m *Mesh) rendezvous(ctx context.Context, dht *rendezvous.Rendezvous, t target) {
	mine := func() []netip.AddrPort {
		var list []netip.AddrPort
		for _, a := range slices.Concat(dht.Outside(), m.OwnAddresses()) {
			if !a.Addr().IsLoopback() && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
		return list
	}
	for met := range dht.Meet(ctx, t.secret, m.id, mine) {
		if !t.member.IsZero() && met.Peer != t.member {
			continue
		}
		addresses := m.worth(met.Addresses)
		group, _ := m.cfg.Group()
		_, member := group.Roster().Member(met.Peer)
		m.log.Info("found in the DHT", "peer", met.Peer.Short(), "member", member, "addresses", len(addresses))
		if !member {
			m.expect(ctx, addresses)
			continue
		}
		dialling, cancel := context.WithTimeout(ctx, dialPatience)
		if err := m.cfg.Overlay.ConnectAt(dialling, met.Peer, addresses); err != nil {
			m.log.Info("dial member found in the DHT", "peer", met.Peer.Short(), "err", err)
		}
		cancel()
	}
}

// expectAgain is between the packets that keep our router open for a newcomer.
const expectAgain = 8 * time.Second

// expect lets a newcomer in that dials us from one of the addresses.
func (m *Mesh) expect(ctx context.Context, addresses []netip.AddrPort) {
	m.cfg.Overlay.Punch(addresses)
	for i := range 2 {
		timer := time.AfterFunc(time.Duration(i+1)*expectAgain, func() { m.cfg.Overlay.Punch(addresses) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	}
}

// missing are the members to seek: in a small group, and where nobody is
// connected, those that have not been heard of for some time, those first that
// were neighbours.
func (m *Mesh) missing() []kith.ID {
	v := m.look()
	if v.large() && len(v.peers) > 0 {
		return nil
	}
	relays := v.group.Whereabouts(m.id).Relays
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []kith.ID
	for id, met := range m.meetings {
		if !met.up && !met.wanted.IsZero() && v.now.Sub(met.wanted) >= strangeAfter {
			missing = append(missing, id)
		}
	}
	slices.SortFunc(missing, func(a, b kith.ID) int {
		x, y := orderOf(m.id, a), orderOf(m.id, b)
		return cmp.Or(first(slices.Contains(relays, a), slices.Contains(relays, b)), bytes.Compare(x[:], y[:]))
	})
	return missing[:min(len(missing), soughtAtOnce)]
}
