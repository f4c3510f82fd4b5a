package test

import (
	"testing"

	"kith.alt/kith/control"
)

// TestNAT has two hosts with the same address behind routers of all kinds, and
// a third that everybody can reach. Both join by tickets of the third, and read
// each other's page.
func TestNAT(t *testing.T) {
	for _, test := range []struct {
		a, b nat
		path string
	}{
		{portRestricted, portRestricted, control.PathDirect},
		{fullCone, symmetric, control.PathDirect},
		{portRestricted, symmetric, control.PathRelayed},
		{symmetric, symmetric, control.PathRelayed},
		{udpBlocked, portRestricted, control.PathRelayed},
		{udpBlocked, udpBlocked, control.PathRelayed},
	} {
		t.Run(string(test.a+" and "+test.b), func(t *testing.T) {
			await(t)
			t.Parallel()
			l := newLab(t)
			world := l.internet()
			a, b := l.home("a", world, test.a), l.home("b", world, test.b)
			members := l.group(world.host("birch"), a.host("maple"), b.host("oak"))
			birch, maple, oak := members[0], members[1], members[2]
			for _, side := range []struct {
				m, other *member
				kind     nat
			}{{maple, oak, test.a}, {oak, maple, test.b}} {
				peer := side.m.reaches(side.other, test.path)
				if want := map[bool]string{true: birch.name}[test.path == control.PathRelayed]; peer.Via != want {
					t.Errorf("%s reaches %s via %q, not %q", side.m.name, side.other.name, peer.Via, want)
				}
				if test.path == control.PathDirect && peer.Carrier != "quic" {
					t.Errorf("%s reaches %s by %s", side.m.name, side.other.name, peer.Carrier)
				}
				if peer := side.m.reaches(birch, control.PathDirect); side.kind == udpBlocked && peer.Carrier != "tls" {
					t.Errorf("%s reaches %s by %s, without UDP", side.m.name, birch.name, peer.Carrier)
				}
			}
			maple.reads(oak)
			oak.reads(maple)
		})
	}
}

// TestNATCarrierGrade has two homes behind one provider's NAT, and a third home
// behind none: what is expected is that everybody reaches everybody.
func TestNATCarrierGrade(t *testing.T) {
	await(t)
	t.Parallel()
	l := newLab(t)
	world := l.internet()
	provider := l.router("provider", world, symmetric, "100.64.0.0/24")
	a, b := l.home("a", provider, portRestricted), l.home("b", provider, portRestricted)
	members := l.group(world.host("birch"), a.host("maple"), b.host("oak"))
	maple, oak := members[1], members[2]
	maple.reads(oak)
	oak.reads(maple)
}
