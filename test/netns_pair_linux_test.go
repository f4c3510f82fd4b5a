package test

import (
	"sync"
	"testing"

	"kith.alt/kith/kithtest/netlab"
)

// A pair is two homes with a host each, and members that everybody can reach.
type pair struct {
	t          *testing.T
	lab        *netlab.Lab
	world      *netlab.Internet
	a, b       *netlab.Router
	maple, oak *netlab.Member
	public     []*netlab.Member
	download   *download // nil without
}

// newPair makes a pair behind routers of one kind, and waits until the hosts
// are on the path.
func newPair(t *testing.T, kind netlab.NAT, path string, public ...string) *pair {
	t.Helper()
	l := netlab.New(t)
	world := l.Internet()
	p := &pair{t: t, lab: l, world: world, a: l.Home("a", world, kind), b: l.Home("b", world, kind)}
	var computers []*netlab.Computer
	for _, name := range public {
		computers = append(computers, world.Host(name))
	}
	members := newGroup(l, append(computers, p.a.Host("maple"), p.b.Host("oak"))...)
	p.public, p.maple, p.oak = members[:len(public)], members[len(public)], members[len(public)+1]
	p.reach(path)
	return p
}

// reach waits until both hosts have each other on the path.
func (p *pair) reach(path string) {
	p.t.Helper()
	p.maple.Reaches(p.oak, path)
	p.oak.Reaches(p.maple, path)
}

// read waits until each of the two can read the other's page.
func (p *pair) read() {
	p.t.Helper()
	p.maple.Reads(p.oak)
	p.oak.Reads(p.maple)
}

// newGroup has members with a page each.
func newGroup(l *netlab.Lab, computers ...*netlab.Computer) []*netlab.Member {
	members := l.Group(computers...)
	for _, m := range members {
		m.Publish()
	}
	return members
}

// together runs tests beside each other, however few processors there are: most
// of the time they wait. With more than a few the processors have no time for what
// is measured.
func together(t *testing.T, tests map[string]func(*testing.T)) {
	var running sync.WaitGroup
	slots := make(chan struct{}, 5)
	for name, test := range tests {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			t.Run(name, test)
		})
	}
	running.Wait()
}
