package test

import (
	"os"
	"testing"

	"kith.alt/kith/kithtest/netlab"
)

// TestCopyHandsOver starts a host and a copy of it in two parts of a network that is cut in the middle. When it is whole again the
// copy stops, and the mail that it had received is where it belongs.
func TestCopyHandsOver(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	world := l.Internet()
	members := l.Group(world.Host("maple"), world.Host("oak"), world.Host("elm"))
	maple, oak, elm := members[0], members[1], members[2]
	for _, m := range members {
		m.Must("kith account add of-"+m.Name, m.Home)
		m.Meets(3)
	}
	oak.Node.Stop()

	spare := l.Member(world.Host("spare"))
	if err := os.CopyFS(spare.Data(), os.DirFS(oak.Data())); err != nil {
		t.Fatal(err)
	}
	parts := [2][]*netlab.Member{{maple, oak}, {elm, spare}}
	cross := func(do func(a, b *netlab.Computer)) {
		for _, a := range parts[0] {
			for _, b := range parts[1] {
				do(a.Computer, b.Computer)
			}
		}
	}
	cross(world.Cut)
	oak.Up("")
	spare.Up("")
	send := func(from *netlab.Member, subject string) { // once it knows that account
		from.Eventually("echo text | kith mail send --account of-"+from.Name+" --to of-oak@oak --subject "+subject+" && echo sent", from.Home, "sent")
	}
	has := func(m *netlab.Member, subject string) {
		m.Eventually("kith mail list --account of-oak", m.Home, subject)
	}
	send(maple, "one")
	send(elm, "two")
	has(oak, "one")
	has(spare, "two")

	cross(world.Heal)
	spare.Node.Exits(6)
	has(oak, "two")
}
