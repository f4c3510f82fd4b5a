package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
	"kith.alt/kith/mesh"
)

const tryPatience = 6 * time.Second // for ways that are tried to explain them

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
