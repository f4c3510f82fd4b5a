package test

import (
	"testing"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/netlab"
)

// TestRestarts has nodes end and start again while their group, or a host's
// address, changes.
func TestRestarts(t *testing.T) {
	t.Parallel()
	together(t, map[string]func(*testing.T){
		"killed":             killed,
		"all were off":       allWereOff,
		"before the network": beforeNetwork,
	})
}

// killed kills a node and starts it again in another home.
func killed(t *testing.T) {
	p := newPair(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.oak.Node.Kill()
	p.oak.Move(p.lab.Home("c", p.world, netlab.PortRestricted))
	p.oak.Up("")
	p.reach(control.PathDirect)
	p.read()
}

// allWereOff stops a whole group, and starts it with one host in another
// home. What they find each other by is on their disks.
func allWereOff(t *testing.T) {
	p := newPair(t, netlab.PortRestricted, control.PathDirect, "birch")
	birch := p.public[0]
	for _, m := range []*netlab.Member{birch, p.maple, p.oak} {
		m.Node.Stop()
	}
	p.maple.Move(p.lab.Home("c", p.world, netlab.PortRestricted))
	for _, m := range []*netlab.Member{p.maple, p.oak, birch} {
		m.Up("")
	}
	p.reach(control.PathDirect)
	p.read()
}

// beforeNetwork starts a node before its computer's network is up, as happens
// when the computer starts.
func beforeNetwork(t *testing.T) {
	p := newPair(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.oak.Node.Stop()
	p.oak.IP("link", "set", "eth0", "down")
	p.oak.Up("")
	p.oak.IP("link", "set", "eth0", "up")
	p.oak.IP("route", "replace", "default", "via", p.b.Local(1), "dev", "eth0")
	p.reach(control.PathDirect)
}
