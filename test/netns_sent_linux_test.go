package test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/netlab"
)

// TestSentTo watches every packet that the nodes of a group send while hosts
// join, punch, are cut off, move and restart: they go to addresses of members, to
// the multicast groups of the local network, and to the default gateway.
func TestSentTo(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	world := l.Internet()
	a, b := l.Home("a", world, netlab.PortRestricted), l.Home("b", world, netlab.PortRestricted)
	computers := []*netlab.Computer{world.Host("birch"), a.Host("maple"), b.Host("oak")}
	allowed := map[netip.Addr]bool{
		netip.MustParseAddr("224.0.0.251"):     true, // multicast DNS, RFC 6762
		netip.MustParseAddr("ff02::fb"):        true,
		netip.MustParseAddr("239.255.255.250"): true, // UPnP looks for a router
		netip.MustParseAddr(a.Local(1)):        true, // the gateway, asked to map a port
		world.Gateway(computers[0]):            true,
		world.Address(computers[0]):            true, // birch
		world.Address(a.Computer):              true, // maple, seen from outside
		world.Address(b.Computer):              true, // oak
	}
	captures := make([]*netlab.Capture, len(computers))
	for i, c := range computers {
		captures[i] = c.Capture()
	}
	members := newGroup(l, computers...)
	birch, maple, oak := members[0], members[1], members[2]
	maple.Reaches(oak, control.PathDirect)
	world.Cut(a.Computer, b.Computer)
	oak.Node.Kill()
	oak.Up("")
	oak.Reaches(maple, control.PathRelayed)
	world.Heal(a.Computer, b.Computer)
	allowed[world.Renumber(a.Computer)] = true
	maple.Reaches(birch, control.PathDirect)
	oak.Reaches(maple, control.PathDirect)
	birch.Node.Stop()
	maple.Reads(oak)

	for i, m := range members {
		total := 0
		for d, count := range captures[i].Sent() {
			total += count
			if (d.Protocol == unix.IPPROTO_UDP || d.Protocol == unix.IPPROTO_TCP) && !allowed[d.To.Addr()] {
				t.Errorf("%s sent %d packets to %v, which is nobody's", m.Name, count, d)
			}
		}
		t.Logf("%s sent %d packets", m.Name, total)
	}
}
