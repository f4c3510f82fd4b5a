package test

import (
	"testing"

	"kith.alt/kith/control"
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
	p := newPair(t, portRestricted, control.PathDirect, "birch")
	p.oak.node.kill()
	p.oak.move(p.lab.home("c", p.world, portRestricted))
	p.oak.up("")
	p.reach(control.PathDirect)
	p.read()
}

// allWereOff stops a whole group, and starts it with one host in another
// home. What they find each other by is on their disks.
func allWereOff(t *testing.T) {
	p := newPair(t, portRestricted, control.PathDirect, "birch")
	birch := p.public[0]
	for _, m := range []*member{birch, p.maple, p.oak} {
		m.node.stop()
	}
	p.maple.move(p.lab.home("c", p.world, portRestricted))
	for _, m := range []*member{p.maple, p.oak, birch} {
		m.up("")
	}
	p.reach(control.PathDirect)
	p.read()
}

// beforeNetwork starts a node before its computer's network is up, as happens
// when the computer starts.
func beforeNetwork(t *testing.T) {
	p := newPair(t, portRestricted, control.PathDirect, "birch")
	p.oak.node.stop()
	p.oak.ip("link", "set", "eth0", "down")
	p.oak.up("")
	p.oak.ip("link", "set", "eth0", "up")
	p.oak.ip("route", "replace", "default", "via", p.b.local(1), "dev", "eth0")
	p.reach(control.PathDirect)
}
