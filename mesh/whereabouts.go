package mesh

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/network/portmap"
)

const (
	lookAround = 10 * time.Second // between looks at the interfaces, beside their own news
	settling   = 2 * time.Second  // after a change, for others to come with it
	tellPause  = 5 * time.Second  // between two records
	tellRarely = 15 * time.Second // the same in a large group, where many have to hear of them
	maxRelays  = 3                // in the record
	keepLocal  = 2                // private addresses that have a place in a full record

	natOpen = "open" // others reach a host unasked
)

// told is what this host's record says.
type told struct {
	group *group.Group
	is    group.Whereabouts
	at    time.Time
	since time.Time // since when the whereabouts have differed from it, zero: they do not
}

// watchInternet has the mesh act on news of the computer's networks.
func (m *Mesh) watchInternet(ctx context.Context) {
	for range m.cfg.Internet.Changes(ctx) {
		m.Moved()
	}
}

// Moved says that this host may be elsewhere, or has slept. Everything that was
// learned about who does not answer is forgotten. It does not wait.
func (m *Mesh) Moved() {
	m.cfg.Overlay.Moved()
	m.maps.Again()
	m.mu.Lock()
	m.movedLocked()
	m.mu.Unlock()
	m.Wake()
}

func (m *Mesh) movedLocked() {
	m.moved = true
	if !m.connected.IsZero() {
		m.connected = time.Now()
	}
	for _, met := range m.meetings {
		met.retry()
	}
}

// tellWhereabouts puts this host's whereabouts into its record, which members
// pass on: at once when it has moved, else when a change has settled. It returns
// when to do so.
func (m *Mesh) tellWhereabouts(ctx context.Context, v view) time.Duration {
	prefixes := m.cfg.Internet.Interfaces()
	own := m.whereabouts(v, prefixes)
	m.mu.Lock()
	news := m.prefixes != nil && !slices.Equal(m.prefixes, prefixes)
	m.prefixes, m.own = prefixes, own
	if news {
		m.movedLocked()
	}
	at := m.moved || m.told.group != v.group
	m.moved = false
	m.mu.Unlock()
	if news {
		m.cfg.Overlay.Moved()
	}
	if port := m.cfg.Port(); news || port != m.port {
		m.port = port
		m.maps.Again()
	}
	if m.port == 0 {
		return lookAround
	}

	t := &m.told
	if t.group == v.group && same(own, t.is) {
		t.since = time.Time{}
		if v.now.Sub(t.at) < longestRetry {
			return lookAround // the group renews the record in time
		}
	} else if !at {
		if t.since.IsZero() {
			t.since = v.now
		}
		pause := tellPause
		if v.large() {
			pause = tellRarely
		}
		if rest := max(settling-v.now.Sub(t.since), pause-v.now.Sub(t.at)); rest > 0 {
			return rest
		}
	}
	*t = told{group: v.group, is: own, at: v.now}
	if err := v.group.SetWhereabouts(ctx, own); err != nil {
		m.log.Warn("tell own addresses", "err", err)
	}
	return lookAround
}

func same(a, b group.Whereabouts) bool {
	return a.NAT == b.NAT && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Relays, b.Relays)
}

// whereabouts are where this host can be reached now.
func (m *Mesh) whereabouts(v view, prefixes []netip.Prefix) group.Whereabouts {
	own := group.Whereabouts{Addresses: m.addresses(prefixes), Relays: m.relays(v), NAT: m.cfg.Overlay.Reach().NAT}
	if len(m.cfg.Public()) > 0 || m.isMapped() {
		own.NAT = natOpen
	}
	return own
}

// isMapped reports whether the router passes on what comes from everywhere: it
// has an outside address that is public, and that members see this host at.
func (m *Mesh) isMapped() bool {
	outside := m.cfg.Overlay.Reach().Outside
	return slices.ContainsFunc(m.maps.Mapped(), func(at portmap.Mapping) bool {
		seen := func(a netip.AddrPort) bool { return a.Addr() == at.External.Addr() }
		return isPublic(at.External.Addr()) && (len(outside) == 0 || slices.ContainsFunc(outside, seen))
	})
}

// Mapped returns the outside ports that the router passes on to the overlay's,
// or why it does not.
func (m *Mesh) Mapped() ([]portmap.Mapping, error) { return m.maps.Mapped(), m.maps.Failure() }

// relays are the members to whom this host keeps a carrier and that others can
// reach.
func (m *Mesh) relays(v view) []kith.ID {
	m.mu.Lock()
	held, wishes := m.own.Relays, m.wishes
	m.mu.Unlock()
	var choices []choice
	for id, p := range v.peers {
		outside := p.Dialled && isPublic(p.Address.Addr().Unmap())
		if p.Via.IsZero() && wanted(wishes, id) && (outside || v.group.Whereabouts(id).NAT == natOpen) {
			choices = append(choices, choice{id, slices.Contains(held, id), true, p.RTT, orderOf(m.id, id)})
		}
	}
	return choose(choices, maxRelays)
}

// OwnAddresses are where this host can be dialled, those that are good for
// everybody first; at most eight. While the overlay does not listen there are
// none.
func (m *Mesh) OwnAddresses() []netip.AddrPort { return m.addresses(m.cfg.Internet.Interfaces()) }

func (m *Mesh) addresses(prefixes []netip.Prefix) []netip.AddrPort {
	port := m.cfg.Port()
	if port == 0 {
		return nil
	}
	bound, _ := netip.ParseAddr(m.cfg.OverlayHost)
	forwarded := slices.Clone(m.cfg.Public())
	for _, mapping := range m.maps.Mapped() {
		forwarded = append(forwarded, mapping.External)
	}
	return ownAddresses(port, bound, prefixes, forwarded, m.cfg.Overlay.Reach().Outside)
}

// ownAddresses puts together where a host can be dialled whose overlay has this
// port: what is forwarded to it, where members see it, then the address that it
// binds, or all those of its interfaces, public ones first. Loopback is there
// when there is nothing else, for several nodes on one computer.
func ownAddresses(port uint16, bound netip.Addr, prefixes []netip.Prefix, forwarded, outside []netip.AddrPort) []netip.AddrPort {
	var public, private, loopback []netip.AddrPort
	if bound.IsValid() && !bound.IsUnspecified() {
		public = []netip.AddrPort{netip.AddrPortFrom(bound.Unmap(), port)}
		prefixes = nil
	}
	for _, p := range prefixes {
		a := netip.AddrPortFrom(p.Addr().Unmap(), port)
		switch {
		case a.Addr().IsLoopback():
			loopback = append(loopback, a)
		case isPublic(a.Addr()):
			public = append(public, a)
		case isPrivate(a.Addr()) && !a.Addr().IsLinkLocalUnicast():
			private = append(private, a)
		}
	}
	// A symmetric NAT shows each member another one.
	all := slices.Concat(forwarded, outside[:min(len(outside), 2)], public)
	if len(all)+len(private) == 0 {
		all = loopback
	}
	local := min(len(private), max(keepLocal, maxAddresses-len(all)))
	all = append(all[:min(len(all), maxAddresses-local)], private[:local]...)
	var list []netip.AddrPort
	for _, a := range all {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
