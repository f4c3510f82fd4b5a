package node

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/network/portmap"
	"kith.alt/kith/network/underlay"
)

const (
	mappingPatience = 4 * time.Second // for the router, when somebody is invited
	mappingLook     = 100 * time.Millisecond
	ticketRelays    = 2 // members in a ticket that let newcomers through
)

// reach is how hosts on other networks come to this one.
func (n *Node) reach() control.Reach {
	seen, settings := n.overlay.Reach(), n.dir.Node()
	mapped, failure := n.mesh.Mapped()
	r := control.Reach{
		NAT: seen.NAT, Addresses: texts(n.mesh.OwnAddresses()), Outside: texts(seen.Outside), Mappings: []control.Mapping{},
		Public: settings.Public, PortMapping: !settings.NoPortMapping, Introduce: settings.Introduce,
		Relays: n.namesOf(n.group().Whereabouts(n.id).Relays),
	}
	if r.Public == nil {
		r.Public = []string{}
	}
	for _, m := range mapped {
		r.Mappings = append(r.Mappings, control.Mapping{Protocol: m.Protocol, Address: m.External.String(), By: m.By})
	}
	if failure != nil && len(mapped) == 0 && r.PortMapping {
		r.Unmapped = failure.Error()
	}
	switch {
	case len(r.Public) > 0:
		r.By = control.ByPublic
	case leadsHere(mapped, seen.Outside):
		r.By = control.ByMapping
	case seen.NAT == control.NATOpen:
		r.By = control.ByVisit
	}
	r.Open = r.By != ""
	return r
}

// leadsHere reports whether a mapping is worth something outside: its address
// is public, and members that see this host see it there.
func leadsHere(mapped []portmap.Mapping, outside []netip.AddrPort) bool {
	return slices.ContainsFunc(mapped, func(m portmap.Mapping) bool {
		a := m.External.Addr()
		return underlay.IsPublic(a) && (len(outside) == 0 || slices.ContainsFunc(outside, func(o netip.AddrPort) bool { return o.Addr() == a }))
	})
}

func texts(addresses []netip.AddrPort) []string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = a.String()
	}
	return list
}

// awaitMapping waits for what the router says about a port that was opened just
// now.
func (n *Node) awaitMapping(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, mappingPatience)
	defer cancel()
	for n.cfg.OverlayHost == "" && !n.dir.Node().NoPortMapping && len(n.dir.Node().Public) == 0 {
		if mapped, failure := n.mesh.Mapped(); len(mapped) > 0 || failure != nil || !pause(ctx, mappingLook) {
			return
		}
	}
}

// ticketAddresses are what a ticket says: where this host is and, unless others
// can dial it, where members are that can be dialled and let newcomers through.
// They come before the addresses that are good on this network only.
func (n *Node) ticketAddresses() []netip.AddrPort {
	own := n.mesh.OwnAddresses()
	if n.reach().Open {
		return own
	}
	var through []netip.AddrPort
	for _, id := range n.joinRelays() {
		through = append(through, n.openAddress(id))
	}
	first := slices.IndexFunc(own, func(a netip.AddrPort) bool { return !underlay.IsPublic(a.Addr()) })
	if first < 0 {
		first = len(own)
	}
	// One of this network stays in sight: there the two may meet most easily.
	return slices.Concat(own[:first], own[first:min(first+1, len(own))], through, own[min(first+1, len(own)):])
}

// joinRelays are members that are awake and can be dialled from everywhere: they
// let newcomers through to this host.
func (n *Node) joinRelays() []kith.ID {
	var list []kith.ID
	presences := n.mesh.Presences()
	for _, m := range n.group().Roster().Members() {
		if m.ID != n.id && presences[m.ID].Carrier != "" && n.openAddress(m.ID).IsValid() && len(list) < ticketRelays {
			list = append(list, m.ID)
		}
	}
	return list
}

// openAddress is where a member can be dialled from everywhere; invalid where
// none is known.
func (n *Node) openAddress(id kith.ID) netip.AddrPort {
	at := n.group().Whereabouts(id)
	for _, a := range at.Addresses {
		if at.NAT == control.NATOpen && underlay.IsPublic(a.Addr()) {
			return a
		}
	}
	return netip.AddrPort{}
}
