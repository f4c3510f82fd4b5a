package test

import (
	"testing"

	"kith.alt/kith/control"
)

// Kinds of homes that have more than one router.
const (
	double       nat = "double"        // port-restricted twice
	carrierGrade nat = "carrier-grade" // symmetric at the provider
)

// natHome makes a home behind one router or two.
func (l *lab) natHome(name string, up uplink, kind nat) *router {
	l.t.Helper()
	switch kind {
	case double:
		return l.home(name, l.router(name+"-outer", up, portRestricted, "192.168.0.0/24"), portRestricted)
	case carrierGrade:
		return l.home(name, l.router(name+"-provider", up, symmetric, "100.64.0.0/24"), portRestricted)
	}
	return l.home(name, up, kind)
}

// TestNAT has two hosts with the same address behind routers of all kinds, and
// a third that everybody can reach. Both join by tickets of the third, and read
// each other's page.
func TestNAT(t *testing.T) {
	tests := map[string]func(*testing.T){"one provider": oneProvider}
	for _, test := range []struct {
		a, b nat
		path string
	}{
		{portRestricted, portRestricted, control.PathDirect},
		{double, portRestricted, control.PathDirect},
		{fullCone, symmetric, control.PathDirect},
		{portRestricted, symmetric, control.PathRelayed},
		{symmetric, symmetric, control.PathRelayed},
		{portRestricted, carrierGrade, control.PathRelayed},
		{udpBlocked, portRestricted, control.PathRelayed},
		{udpBlocked, udpBlocked, control.PathRelayed},
	} {
		tests[string(test.a+" and "+test.b)] = func(t *testing.T) { behindNAT(t, test.a, test.b, test.path) }
	}
	together(t, tests)
}

func behindNAT(t *testing.T, a, b nat, path string) {
	l := newLab(t)
	world := l.internet()
	homeA, homeB := l.natHome("a", world, a), l.natHome("b", world, b)
	members := l.group(world.host("birch"), homeA.host("maple"), homeB.host("oak"))
	birch, maple, oak := members[0], members[1], members[2]
	for _, side := range []struct {
		m, other *member
		kind     nat
	}{{maple, oak, a}, {oak, maple, b}} {
		peer := side.m.reaches(side.other, path)
		if path == control.PathRelayed && peer.Via != birch.name {
			t.Errorf("%s reaches %s via %q", side.m.name, side.other.name, peer.Via)
		}
		if path == control.PathDirect && peer.Carrier != "quic" {
			t.Errorf("%s reaches %s by %s", side.m.name, side.other.name, peer.Carrier)
		}
		if peer := side.m.reaches(birch, control.PathDirect); side.kind == udpBlocked && peer.Carrier != "tls" {
			t.Errorf("%s reaches %s by %s, without UDP", side.m.name, birch.name, peer.Carrier)
		}
	}
	maple.reads(oak)
	oak.reads(maple)
}

// oneProvider has two homes behind the same carrier-grade NAT, which does not
// pass packets from inside back to the inside.
func oneProvider(t *testing.T) {
	l := newLab(t)
	world := l.internet()
	provider := l.router("provider", world, symmetric, "100.64.0.0/24")
	a, b := l.home("a", provider, portRestricted), l.home("b", provider, portRestricted)
	members := l.group(world.host("birch"), a.host("maple"), b.host("oak"))
	maple, oak := members[1], members[2]
	maple.reaches(oak, control.PathRelayed)
	maple.reads(oak)
	oak.reads(maple)
}
