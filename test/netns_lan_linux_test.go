package test

import (
	"strings"
	"testing"

	"kith.alt/kith/kithtest/netlab"
)

// TestNeighbours has two computers on one switch, without any router: they join
// by a ticket, and after both were off and came back under other addresses they
// find each other by multicast alone.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, second [2]string }{
		"IPv4": {[2]string{"10.77.0.1/24", "10.77.0.2/24"}, [2]string{"10.78.0.1/24", "10.78.0.2/24"}},
		"IPv6": {[2]string{"2001:db8:77::1/64", "2001:db8:77::2/64"}, [2]string{"2001:db8:78::1/64", "2001:db8:78::2/64"}},
	} {
		t.Run(name, func(t *testing.T) { neighbours(t, c.first, c.second) })
	}
}

func neighbours(t *testing.T, first, second [2]string) {
	l := netlab.New(t)
	maple, oak := l.Computer("maple"), l.Computer("oak")
	l.Cable(maple, oak)
	maple.SetAddress(first[0])
	oak.SetAddress(first[1])
	hers, his := t.TempDir(), t.TempDir()

	atMaple := maple.Start("kith --name maple", hers)
	ticket := strings.TrimSpace(maple.Must("kith invite", hers))
	atOak := oak.Start("kith join "+ticket+" --name oak", his)
	maple.Eventually("kith members", hers, `oak\*? +awake +same network`)
	oak.Eventually("kith members", his, `maple\*? +awake +same network`)

	atMaple.Stop()
	atOak.Stop()
	maple.SetAddress(second[0])
	oak.SetAddress(second[1])
	maple.Start("kith", hers)
	oak.Start("kith", his)
	maple.Eventually("kith members", hers, `oak\*? +awake +same network`)
	oak.Eventually("kith members", his, `maple\*? +awake +same network`)
}

// TestOneComputer has two nodes on a computer that has nothing but loopback:
// after one has taken another port, they find each other by multicast.
func TestOneComputer(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	c := l.Computer("one")
	hers, his := t.TempDir(), t.TempDir()
	atMaple := c.Start("kith --name maple", hers)
	ticket := strings.TrimSpace(c.Must("kith invite", hers))
	atOak := c.Start("kith join "+ticket+" --name oak", his)
	c.Eventually("kith members", hers, `oak\*? +awake`)
	atMaple.Stop()
	atOak.Stop()
	c.Start("kith --overlay-port 5001", hers)
	c.Start("kith --overlay-port 5002", his)
	c.Eventually("kith members", hers, `oak\*? +awake`)
	c.Eventually("kith members", his, `maple\*? +awake`)
}
