package mesh

import (
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

const (
	maxAddresses = group.MaxAddresses
	forgetPlace  = 6 * time.Hour // after a member was last met or seen there
)

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

// AddressesOf are where a member may be, the best first: where it was met, then
// what its record says. They are what overlay.Config.Addresses wants.
func (m *Mesh) AddressesOf(id kith.ID) []netip.AddrPort {
	g, _ := m.cfg.Group()
	recorded := g.Whereabouts(id).Addresses
	m.mu.Lock()
	met := m.places[id]
	m.mu.Unlock()
	if time.Since(met.at) >= forgetPlace {
		met.addresses = nil
	}
	return m.worth(slices.Concat(met.addresses, recorded))
}

// worth returns those of the addresses of one host that can be it.
func (m *Mesh) worth(addresses []netip.AddrPort) []netip.AddrPort {
	prefixes := m.cfg.Internet.Interfaces()
	return worthTrying(addresses, prefixes, m.addresses(prefixes), m.cfg.Port())
}

// RelaysOf are the members that keep a carrier to a member. They are what
// overlay.Config.Relays wants.
func (m *Mesh) RelaysOf(id kith.ID) []kith.ID {
	g, _ := m.cfg.Group()
	return slices.DeleteFunc(slices.Clone(g.Whereabouts(id).Relays), func(relay kith.ID) bool { return relay == m.id })
}

// WorthTrying returns those of a host's addresses that can be it, seen from a
// host whose interfaces have these prefixes.
func WorthTrying(addresses []netip.AddrPort, prefixes []netip.Prefix) []netip.AddrPort {
	return worthTrying(addresses, prefixes, nil, 0)
}

// worthTrying returns those of a host's addresses that can be it, seen from
// here, those on a network of ours first. A private address means another
// computer on each network that has it. It can be the host on a network that we
// are on, too, or where both are seen at the same public address: then one
// router is before both, and there may be networks behind it that we are not
// on. Loopback is for several nodes on one computer without a network.
//
// port is that of our own overlay: many computers have the same address on a
// bridge of their own, such as that of containers.
func worthTrying(addresses []netip.AddrPort, prefixes []netip.Prefix, own []netip.AddrPort, port uint16) []netip.AddrPort {
	samePlace := slices.ContainsFunc(own, func(a netip.AddrPort) bool {
		return isPublic(a.Addr()) && slices.ContainsFunc(addresses, func(b netip.AddrPort) bool { return a.Addr() == b.Addr().Unmap() })
	})
	var ours []netip.AddrPort
	for _, p := range prefixes {
		ours = append(ours, netip.AddrPortFrom(p.Addr().Unmap(), port))
	}
	networked := slices.ContainsFunc(own, func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() })
	var near, far []netip.AddrPort
	for _, a := range addresses {
		ip := a.Addr().Unmap()
		a = netip.AddrPortFrom(ip, a.Port())
		shared := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Bits() > 0 && p.Masked().Contains(ip) })
		switch {
		case slices.Contains(near, a), slices.Contains(far, a), !a.IsValid(), a.Port() == 0, slices.Contains(ours, a):
		case ip.IsLoopback() && networked, slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return isBroadcast(p, ip) }):
		case shared && (isPrivate(ip) || isPublic(ip) || ip.IsLoopback()):
			near = append(near, a)
		case isPublic(ip), samePlace && isPrivate(ip) && !ip.IsLinkLocalUnicast():
			far = append(far, a)
		}
	}
	return slices.Concat(near, far)
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// isPrivate reports whether an address is one that many networks have.
func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || carrierGrade.Contains(a)
}

// isPublic reports whether an address means one host everywhere.
func isPublic(a netip.Addr) bool { return a.IsGlobalUnicast() && !isPrivate(a) }

// isBroadcast reports whether an address means all computers of a network.
func isBroadcast(network netip.Prefix, a netip.Addr) bool {
	return a.Is4() && network.Bits() < 31 && network.Masked().Contains(a) &&
		(a == network.Masked().Addr() || !network.Contains(a.Next()))
}
