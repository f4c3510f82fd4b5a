package test

import (
	"os"
	"testing"

	"kith.alt/kith/control"
	simulated "kith.alt/kith/kithtest/internet"
)

// Kinds of NAT beyond those of one router; kinds are named as in docs/nat.md.
const (
	noNAT        nat = "none"
	double       nat = "double"
	carrierGrade nat = "carrier-grade"
	sameCarrier  nat = "same carrier"
)

// home attaches a computer to the internet behind NAT of a kind. The carrier is
// who has the homes of kind sameCarrier.
func (n *internet) home(name string, kind nat, carrier uplink) *computer {
	l := n.lab
	l.t.Helper()
	switch kind {
	case noNAT:
		return n.host(name)
	case double:
		outer := l.router(name+"-outer", n, portRestricted, "192.168.0.0/24")
		return l.home(name+"-router", outer, portRestricted).host(name)
	case carrierGrade:
		own := l.router(name+"-carrier", n, portRestricted, "100.64.0.0/24")
		return l.home(name+"-router", own, portRestricted).host(name)
	case sameCarrier:
		return l.home(name+"-router", carrier, portRestricted).host(name)
	}
	return l.home(name+"-router", n, kind).host(name)
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
	for _, pair := range [][2]nat{
		{noNAT, symmetric},
		{noNAT, udpBlocked},
		{fullCone, symmetric},
		{portRestricted, portRestricted},
		{portRestricted, double},
		{portRestricted, carrierGrade},
		{portRestricted, symmetric},
		{symmetric, symmetric},
		{sameCarrier, sameCarrier},
		{udpBlocked, portRestricted},
		{udpBlocked, udpBlocked},
	} {
		path := control.PathDirect
		if expected[[2]simulated.NAT{simulated.NAT(pair[0]), simulated.NAT(pair[1])}] == simulated.Relay {
			path = control.PathRelayed
		}
		tests[string(pair[0]+" and "+pair[1])] = func(t *testing.T) { behindNAT(t, pair[0], pair[1], path) }
	}
	together(t, tests)
}

func behindNAT(t *testing.T, a, b nat, path string) {
	l := newLab(t)
	world := l.internet()
	var carrier uplink
	if a == sameCarrier {
		carrier = l.router("carrier", world, portRestricted, "100.64.0.0/24")
	}
	members := l.group(world.host("birch"), world.home("maple", a, carrier), world.home("oak", b, carrier))
	birch, maple, oak := members[0], members[1], members[2]
	for _, side := range []struct {
		m, other *member
		kind     nat
	}{{maple, oak, a}, {oak, maple, b}} {
		peer := side.m.reaches(side.other, path)
		if path == control.PathRelayed && peer.Via != birch.name {
			t.Errorf("%s reaches %s via %q", side.m.name, side.other.name, peer.Via)
		}
		if blocked := a == udpBlocked || b == udpBlocked; path == control.PathDirect && (peer.Carrier == "tls") != blocked {
			t.Errorf("%s reaches %s by %s", side.m.name, side.other.name, peer.Carrier)
		}
		if peer := side.m.reaches(birch, control.PathDirect); side.kind == udpBlocked && peer.Carrier != "tls" {
			t.Errorf("%s reaches %s by %s, without UDP", side.m.name, birch.name, peer.Carrier)
		}
	}
	maple.reads(oak)
	oak.reads(maple)
}
