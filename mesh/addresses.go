package mesh

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

const (
	maxAddresses = 8                // of a host, in its record
	lookAround   = 10 * time.Second // between looks at this host's own addresses
	forgetPlace  = 6 * time.Hour    // after a member was last met or seen there
)

// tellAddresses puts this host's addresses into its record, which members pass
// on. The group writes nothing when they are the same as before.
func (m *Mesh) tellAddresses(ctx context.Context) {
	own := m.OwnAddresses()
	if len(own) == 0 {
		return
	}
	if err := m.currentGroup().SetWhereabouts(ctx, group.Whereabouts{Addresses: own}); err != nil {
		m.log.Warn("tell own addresses", "err", err)
	}
}

// OwnAddresses are where this host can be dialled: what it was told to bind,
// else every address of its interfaces, public ones first; at most eight.
// Loopback is there when there is nothing else, for several nodes on one
// computer. While the overlay does not listen there are none.
func (m *Mesh) OwnAddresses() []netip.AddrPort {
	port := m.cfg.Port()
	if port == 0 {
		return nil
	}
	if bound, err := netip.ParseAddr(m.cfg.OverlayHost); err == nil && !bound.IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(bound, port)}
	}
	var public, private, loopback []netip.AddrPort
	for _, prefix := range m.cfg.Internet.Interfaces() {
		a := netip.AddrPortFrom(prefix.Addr(), port)
		switch {
		case prefix.Addr().IsLoopback():
			loopback = append(loopback, a)
		case prefix.Addr().IsPrivate():
			private = append(private, a)
		case prefix.Addr().IsGlobalUnicast():
			public = append(public, a)
		}
	}
	all := slices.Concat(public, private)
	if len(all) == 0 {
		all = loopback
	}
	return all[:min(len(all), maxAddresses)]
}

// AddressesOf are where a member may be: where multicast found it, then what its
// record says, of private addresses only those on a network that we share.
func (m *Mesh) AddressesOf(id kith.ID) []netip.AddrPort {
	var list []netip.AddrPort
	m.mu.Lock()
	if place, ok := m.places[id]; ok && time.Since(place.at) < forgetPlace {
		list = append(list, place.addresses...)
	}
	m.mu.Unlock()
	list = append(list, m.currentGroup().Whereabouts(id).Addresses...)

	// On a computer with a network loopback is where its own services are, and
	// no place to look for others.
	own := m.cfg.Internet.Interfaces()
	if slices.ContainsFunc(m.OwnAddresses(), func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() }) {
		own = slices.DeleteFunc(own, func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	}
	var worth []netip.AddrPort
	for _, a := range list {
		if worthTrying(a.Addr(), own) && !slices.Contains(worth, a) {
			worth = append(worth, a)
		}
	}
	return worth
}

// WorthTrying returns those of the addresses that may be what they claim, seen
// from a host whose interfaces have the prefixes own.
func WorthTrying(addresses []netip.AddrPort, own []netip.Prefix) []netip.AddrPort {
	return slices.DeleteFunc(slices.Clone(addresses), func(a netip.AddrPort) bool { return !worthTrying(a.Addr(), own) })
}

// worthTrying keeps what is sent to private addresses on our own networks:
// elsewhere the same address is somebody else's computer.
func worthTrying(a netip.Addr, own []netip.Prefix) bool {
	if !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
		return a.IsGlobalUnicast()
	}
	return onOwnNetwork(a, own)
}

func onOwnNetwork(a netip.Addr, own []netip.Prefix) bool {
	return slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
}

// near tells a neighbour on one of our own networks from a host beyond the
// router.
func near(a netip.Addr, own []netip.Prefix) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || onOwnNetwork(a, own)
}

// A place is where a member was met, or seen by multicast.
type place struct {
	addresses []netip.AddrPort
	at        time.Time
}

// NotePlace remembers where a member was met, beside what its record says.
func (m *Mesh) NotePlace(id kith.ID, addresses []netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.places[id] = place{addresses[:min(len(addresses), maxAddresses)], time.Now()}
}
