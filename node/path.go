package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
	"kith.alt/kith/mesh"
	"kith.alt/kith/network/portmap"
	"kith.alt/kith/network/underlay"
)

const (
	tryPatience     = 6 * time.Second // for ways that are tried to explain them
	mappingPatience = 4 * time.Second // for the router, when somebody is invited
	mappingLook     = 100 * time.Millisecond
	ticketHelpers   = 2 // members' addresses in a ticket
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

// nameOf is a host's short name, or the short form of its ID.
func (n *Node) nameOf(id kith.ID) string {
	if m, ok := n.group().Roster().Member(id); ok {
		return m.Host
	}
	return id.Short()
}

func (n *Node) namesOf(ids []kith.ID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = n.nameOf(id)
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
	for _, id := range n.helpers() {
		through = append(through, n.openAddress(id))
	}
	first := slices.IndexFunc(own, func(a netip.AddrPort) bool { return !underlay.IsPublic(a.Addr()) })
	if first < 0 {
		first = len(own)
	}
	// One of this network stays in sight: there the two may meet most easily.
	return slices.Concat(own[:first], own[first:min(first+1, len(own))], through, own[min(first+1, len(own)):])
}

// helpers are members that are awake and can be dialled from everywhere.
func (n *Node) helpers() []kith.ID {
	var list []kith.ID
	presences := n.mesh.Presences()
	for _, m := range n.group().Roster().Members() {
		if m.ID != n.id && presences[m.ID].Carrier != "" && n.openAddress(m.ID).IsValid() && len(list) < ticketHelpers {
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

// peer finds another member by its name.
func (n *Node) peer(host string) (group.Member, error) {
	id, err := n.resolve(host)
	if err != nil {
		return group.Member{}, err
	}
	member, ok := n.group().Roster().Member(id)
	if !ok {
		return member, fmt.Errorf("%s: %w", host, kith.NotMember)
	}
	return member, nil
}

// Ping measures a round trip to a member.
func (n *Node) Ping(ctx context.Context, host string) (control.Ping, error) {
	member, err := n.peer(host)
	if err != nil {
		return control.Ping{}, err
	}
	ping := control.Ping{Host: member.Host, Path: control.PathSelf}
	rtt, err := n.overlay.Ping(ctx, member.ID)
	if err != nil {
		return control.Ping{}, n.named(err)
	}
	ping.RTT = millis(rtt)
	if member.ID != n.id {
		p := n.mesh.Presences()[member.ID]
		ping.Path, ping.Carrier, ping.Via = cmp.Or(p.Path, control.PathNone), p.Carrier, n.viaOf(p)
		if p.Address.IsValid() {
			ping.Address = p.Address.String()
		}
	}
	return ping, nil
}

func (n *Node) viaOf(p mesh.Presence) string {
	if p.Via.IsZero() {
		return ""
	}
	return n.nameOf(p.Via)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// named is an error of the overlay with members' names in place of their IDs.
func (n *Node) named(err error) error {
	text := n.withNames(err.Error())
	var kind kith.Kind
	if !errors.As(err, &kind) {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", strings.TrimSuffix(text, ": "+kind.Error()), kind)
}

func (n *Node) withNames(text string) string {
	for _, m := range n.group().Roster().Members() {
		text = strings.ReplaceAll(text, "host "+m.ID.Short(), m.Host)
		text = strings.ReplaceAll(text, "through "+m.ID.Short(), "through "+m.Host)
	}
	return text
}

// Trace follows the path to a member.
func (n *Node) Trace(ctx context.Context, host string) (control.Trace, error) {
	member, err := n.peer(host)
	if err != nil {
		return control.Trace{}, err
	}
	reach := n.reach()
	own := control.Hop{Host: n.name().Host, Outside: reach.Outside, NAT: reach.NAT}
	if len(reach.Addresses) > 0 {
		own.Address = reach.Addresses[len(reach.Addresses)-1] // private ones are last
	}
	t := control.Trace{Host: member.Host, Path: control.PathSelf, Hops: []control.Hop{own}, Tried: []control.Try{}}
	if member.ID == n.id {
		return t, nil
	}
	rtt, err := n.overlay.Ping(ctx, member.ID)
	p := n.mesh.Presences()[member.ID]
	t.Path, t.Carrier, t.Since, t.Why = cmp.Or(p.Path, control.PathNone), p.Carrier, p.Since, p.Why
	if err != nil {
		t.Error = n.named(err).Error()
		t.Tried = tries(t.Error)
		return t, nil
	}
	if !p.Via.IsZero() {
		relay := control.Hop{Host: n.nameOf(p.Via), NAT: n.group().Whereabouts(p.Via).NAT}
		if toRelay, err := n.overlay.Ping(ctx, p.Via); err == nil {
			relay.RTT = millis(toRelay)
		}
		if at := n.mesh.Presences()[p.Via].Address; at.IsValid() {
			relay.Address = at.String()
		}
		t.Hops = append(t.Hops, relay)
		t.Tried = n.tryDirect(ctx, member.ID)
	}
	far := control.Hop{Host: member.Host, NAT: n.group().Whereabouts(member.ID).NAT, RTT: millis(rtt)}
	if p.Address.IsValid() {
		far.Address = p.Address.String()
	}
	t.Hops = append(t.Hops, far)
	return t, nil
}

// tryDirect dials a member that is reached through a relay at its addresses,
// and says why that led nowhere.
func (n *Node) tryDirect(ctx context.Context, id kith.ID) []control.Try {
	addresses := n.mesh.AddressesOf(id)
	if len(addresses) == 0 {
		return []control.Try{{Way: "direct", Why: "no address of it is known that could be dialled from here"}}
	}
	trying, cancel := context.WithTimeout(ctx, tryPatience)
	defer cancel()
	err := n.overlay.ConnectAt(trying, id, addresses)
	switch {
	case err == nil:
		return []control.Try{{Way: "direct", Why: "it answers now: what is open moves there"}}
	case trying.Err() != nil:
		return untold(addresses, "no answer")
	}
	list := tries(n.named(err).Error())
	if len(list) == 0 { // they rest
		return untold(addresses, "did not answer of late, and is left alone for a while")
	}
	return list
}

func untold(addresses []netip.AddrPort, why string) []control.Try {
	list := make([]control.Try, len(addresses))
	for i, a := range addresses {
		list[i] = control.Try{Way: a.String(), Why: why}
	}
	return list
}

// tries takes the text apart in which the overlay says what it tried: ways and
// what came of them, such as "quic 192.0.2.1:4747: timeout; through elm: ...".
func tries(text string) []control.Try {
	list := []control.Try{}
	text = strings.TrimSuffix(text, ": "+kith.Unreachable.Error())
	for part := range strings.SplitSeq(text, "; ") {
		for _, carrier := range []string{"quic ", "tls ", "through "} {
			at := strings.Index(part, carrier)
			if at != 0 && (at < 0 || part[at-1] != ' ') {
				continue
			}
			if way, why, ok := strings.Cut(part[at:], ": "); ok {
				list = append(list, control.Try{Way: way, Why: inPlainWords(why)})
				break
			}
		}
	}
	return list
}

// inPlainWords is what came of a dial, without what it says of the dial itself.
func inPlainWords(why string) string {
	if strings.HasPrefix(why, "dial ") {
		why = why[strings.LastIndex(why, ": ")+1:]
	}
	switch why = strings.TrimSpace(why); {
	case strings.HasPrefix(why, "timeout: "), why == context.DeadlineExceeded.Error(), why == "i/o timeout":
		return "no answer"
	}
	return why
}
