package test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"kith.alt/kith/control"
)

// TestSentTo watches every packet that the nodes of a group send while hosts
// join, punch, are cut off, move and restart: they go to addresses of members, to
// the multicast groups of the local network, and to the default gateway.
func TestSentTo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	world := l.internet()
	a, b := l.home("a", world, portRestricted), l.home("b", world, portRestricted)
	computers := []*computer{world.host("birch"), a.host("maple"), b.host("oak")}
	allowed := map[netip.Addr]bool{
		netip.MustParseAddr("224.0.0.251"):     true, // multicast DNS, RFC 6762
		netip.MustParseAddr("ff02::fb"):        true,
		netip.MustParseAddr("239.255.255.250"): true, // UPnP looks for a router
		netip.MustParseAddr(a.local(1)):        true, // the gateway, asked to map a port
		world.gateway(computers[0]):            true,
		world.address(computers[0]):            true, // birch
		world.address(a.computer):              true, // maple, seen from outside
		world.address(b.computer):              true, // oak
	}
	captures := make([]*capture, len(computers))
	for i, c := range computers {
		captures[i] = c.capture()
	}
	members := l.group(computers...)
	birch, maple, oak := members[0], members[1], members[2]
	maple.reaches(oak, control.PathDirect)
	world.cut(a.computer, b.computer)
	oak.node.kill()
	oak.up("")
	oak.reaches(maple, control.PathRelayed)
	world.heal(a.computer, b.computer)
	allowed[world.renumber(a.computer)] = true
	maple.reaches(birch, control.PathDirect)
	oak.reaches(maple, control.PathDirect)
	birch.node.stop()
	maple.reads(oak)

	for i, m := range members {
		total := 0
		for d, count := range captures[i].sent() {
			total += count
			if (d.protocol == unix.IPPROTO_UDP || d.protocol == unix.IPPROTO_TCP) && !allowed[d.to.Addr()] {
				t.Errorf("%s sent %d packets to %v, which is nobody's", m.name, count, d)
			}
		}
		t.Logf("%s sent %d packets", m.name, total)
	}
}
