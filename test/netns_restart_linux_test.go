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
	l := newLab(t)
	world := l.internet()
	a, b, c := l.home("a", world, portRestricted), l.home("b", world, portRestricted), l.home("c", world, portRestricted)
	members := l.group(world.host("birch"), a.host("maple"), b.host("oak"))
	maple, oak := members[1], members[2]
	maple.reaches(oak, control.PathDirect)

	oak.node.kill()
	oak.move(c)
	oak.up("")
	oak.reaches(maple, control.PathDirect)
	maple.reaches(oak, control.PathDirect)
	maple.reads(oak)
	oak.reads(maple)
}

// allWereOff stops a whole group, and starts it with one host in another
// home. What they find each other by is on their disks.
func allWereOff(t *testing.T) {
	l := newLab(t)
	world := l.internet()
	a, b, c := l.home("a", world, portRestricted), l.home("b", world, portRestricted), l.home("c", world, portRestricted)
	members := l.group(world.host("birch"), a.host("maple"), b.host("oak"))
	maple, oak := members[1], members[2]
	maple.reaches(oak, control.PathDirect)

	for _, m := range members {
		m.node.stop()
	}
	maple.move(c)
	for _, m := range []*member{maple, oak, members[0]} {
		m.up("")
	}
	maple.reaches(oak, control.PathDirect)
	oak.reaches(maple, control.PathDirect)
	maple.reads(oak)
	oak.reads(maple)
}

// beforeNetwork starts a node before its computer's network is up, as happens
// when the computer starts.
func beforeNetwork(t *testing.T) {
	l := newLab(t)
	world := l.internet()
	members := l.group(world.host("birch"), world.home("maple", portRestricted, nil), world.home("oak", portRestricted, nil))
	maple, oak := members[1], members[2]
	oak.node.stop()
	oak.ip("link", "set", "eth0", "down")
	oak.up("")
	oak.ip("link", "set", "eth0", "up")
	oak.ip("route", "replace", "default", "via", "192.168.1.1", "dev", "eth0")
	oak.reaches(maple, control.PathDirect)
	maple.reaches(oak, control.PathDirect)
}
