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

// introduce seeks members that nobody here knows the way to through the
// BitTorrent DHT, where both hosts of a pair publish under a secret of theirs:
// it is how two meet that both moved while all others slept. It runs while the
// overlay's port is open and somebody is missing.
func (m *Mesh) introduce(ctx context.Context) {
	tick := time.NewTicker(seekEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if m.cfg.Port() == 0 || len(m.missing()) == 0 {
			continue
		}
		if err := m.seek(ctx); err != nil {
			m.log.Warn("look for members in the DHT", "err", err)
		}
	}
}

// seek takes part in the DHT until nobody is missing or the port is shut.
func (m *Mesh) seek(ctx context.Context) error {
	packets, err := m.cfg.Overlay.Packets()
	if err != nil {
		return err
	}
	defer packets.Close()
	dht := rendezvous.New(rendezvous.Config{Conn: packets, Log: m.log.With("service", "rendezvous")})
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

	seeking := make(map[kith.ID]context.CancelFunc)
	port := m.cfg.Port()
	tick := time.NewTicker(seekEvery)
	defer tick.Stop()
	for {
		missing := m.missing()
		if len(missing) == 0 || m.cfg.Port() != port {
			return nil
		}
		for id, stop := range seeking {
			if !slices.Contains(missing, id) {
				stop()
				delete(seeking, id)
			}
		}
		for _, id := range missing {
			if seeking[id] == nil {
				meeting, stop := context.WithCancel(ctx)
				seeking[id] = stop
				work.Go(func() { m.rendezvous(meeting, dht, id) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// rendezvous meets one member in the DHT, and dials it where it says that it is.
func (m *Mesh) rendezvous(ctx context.Context, dht *rendezvous.Rendezvous, id kith.ID) {
	secret, err := rendezvous.PairSecret(m.cfg.Key, id)
	if err != nil {
		m.log.Warn("secret with member", "peer", id.Short(), "err", err)
		return
	}
	mine := func() []netip.AddrPort {
		return slices.DeleteFunc(m.OwnAddresses(), func(a netip.AddrPort) bool { return a.Addr().IsLoopback() })
	}
	for met := range dht.Meet(ctx, secret, m.id, mine) {
		if met.Peer != id {
			continue
		}
		addresses := m.worth(met.Addresses)
		m.log.Info("found in the DHT", "peer", id.Short(), "addresses", len(addresses))
		dialling, cancel := context.WithTimeout(ctx, dialPatience)
		if err := m.cfg.Overlay.ConnectAt(dialling, id, addresses); err != nil {
			m.log.Info("dial member found in the DHT", "peer", id.Short(), "err", err)
		}
		cancel()
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
