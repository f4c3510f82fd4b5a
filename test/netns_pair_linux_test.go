package test

import "testing"

// A pair is two homes with a host each, and members that everybody can reach.
type pair struct {
	lab        *lab
	world      *internet
	a, b       *router
	maple, oak *member
	public     []*member
	download   *download // nil without
}

// newPair makes a pair behind routers of one kind, and waits until the hosts
// are on the path.
func newPair(t *testing.T, kind nat, path string, public ...string) *pair {
	t.Helper()
	l := newLab(t)
	world := l.internet()
	p := &pair{lab: l, world: world, a: l.home("a", world, kind), b: l.home("b", world, kind)}
	var computers []*computer
	for _, name := range public {
		computers = append(computers, world.host(name))
	}
	members := l.group(append(computers, p.a.host("maple"), p.b.host("oak"))...)
	p.public, p.maple, p.oak = members[:len(public)], members[len(public)], members[len(public)+1]
	p.reach(path)
	return p
}

// reach waits until both hosts have each other on the path.
func (p *pair) reach(path string) {
	p.lab.t.Helper()
	p.maple.reaches(p.oak, path)
	p.oak.reaches(p.maple, path)
}

// read waits until each of the two can read the other's page.
func (p *pair) read() {
	p.lab.t.Helper()
	p.maple.reads(p.oak)
	p.oak.reads(p.maple)
}

// move takes a member's cable out of one network and puts it into another.
func (m *member) move(to uplink) {
	m.t.Helper()
	m.ip("link", "delete", "eth0")
	to.attach(m.computer, "eth0")
}
