package test

import (
	"os"
	"testing"

	"kith.alt/kith/control"
	simulated "kith.alt/kith/kithtest/internet"
	"kith.alt/kith/kithtest/netlab"
)

// Kinds of NAT beyond those of one router; kinds are named as in docs/nat.md.
const (
	noNAT        netlab.NAT = "none"
	double       netlab.NAT = "double"
	carrierGrade netlab.NAT = "carrier-grade"
	sameCarrier  netlab.NAT = "same carrier"
)

// behind attaches a computer to the internet behind NAT of a kind. The carrier is
// who has the homes of kind sameCarrier.
func behind(l *netlab.Lab, n *netlab.Internet, name string, kind netlab.NAT, carrier netlab.Uplink) *netlab.Computer {
	switch kind {
	case noNAT:
		return n.Host(name)
	case double:
		outer := l.Router(name+"-outer", n, netlab.PortRestricted, "192.168.0.0/24")
		return l.Home(name+"-router", outer, netlab.PortRestricted).Host(name)
	case carrierGrade:
		own := l.Router(name+"-carrier", n, netlab.PortRestricted, "100.64.0.0/24")
		return l.Home(name+"-router", own, netlab.PortRestricted).Host(name)
	case sameCarrier:
		return l.Home(name+"-router", carrier, netlab.PortRestricted).Host(name)
	}
	return l.Home(name+"-router", n, kind).Host(name)
}

// TestNAT has two hosts behind routers of all kinds but one, which nftables does
// not offer, and a third that everybody can reach. What path to expect is in
// docs/nat.md. Both join by tickets of the third, and read each other's page.
func TestNAT(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/nat.md")
	if err != nil {
		t.Fatal(err)
	}
	expected, err := simulated.Expectations(string(text))
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]func(*testing.T))
	for _, pair := range [][2]netlab.NAT{
		{noNAT, netlab.Symmetric},
		{noNAT, netlab.UDPBlocked},
		{netlab.FullCone, netlab.Symmetric},
		{netlab.PortRestricted, netlab.PortRestricted},
		{netlab.PortRestricted, double},
		{netlab.PortRestricted, carrierGrade},
		{netlab.PortRestricted, netlab.Symmetric},
		{netlab.Symmetric, netlab.Symmetric},
		{sameCarrier, sameCarrier},
		{netlab.UDPBlocked, netlab.PortRestricted},
		{netlab.UDPBlocked, netlab.UDPBlocked},
	} {
		path := control.PathDirect
		if expected[[2]simulated.NAT{simulated.NAT(pair[0]), simulated.NAT(pair[1])}] == simulated.Relay {
			path = control.PathRelayed
		}
		tests[string(pair[0]+" and "+pair[1])] = func(t *testing.T) { behindNAT(t, pair[0], pair[1], path) }
	}
	together(t, tests)
}

func behindNAT(t *testing.T, a, b netlab.NAT, path string) {
	l := netlab.New(t)
	world := l.Internet()
	var carrier netlab.Uplink
	if a == sameCarrier {
		carrier = l.Router("carrier", world, netlab.PortRestricted, "100.64.0.0/24")
	}
	members := newGroup(l, world.Host("birch"), behind(l, world, "maple", a, carrier), behind(l, world, "oak", b, carrier))
	birch, maple, oak := members[0], members[1], members[2]
	for _, side := range []struct {
		m, other *netlab.Member
		kind     netlab.NAT
	}{{maple, oak, a}, {oak, maple, b}} {
		peer := side.m.Reaches(side.other, path)
		if path == control.PathRelayed && peer.Via != birch.Name {
			t.Errorf("%s reaches %s via %q", side.m.Name, side.other.Name, peer.Via)
		}
		if blocked := a == netlab.UDPBlocked || b == netlab.UDPBlocked; path == control.PathDirect && (peer.Carrier == "tls") != blocked {
			t.Errorf("%s reaches %s by %s", side.m.Name, side.other.Name, peer.Carrier)
		}
		if peer := side.m.Reaches(birch, control.PathDirect); side.kind == netlab.UDPBlocked && peer.Carrier != "tls" {
			t.Errorf("%s reaches %s by %s, without UDP", side.m.Name, birch.Name, peer.Carrier)
		}
	}
	maple.Reads(oak)
	oak.Reads(maple)
}
