package test

import (
	"strings"
	"testing"
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
	l := newLab(t)
	maple, oak := l.computer("maple"), l.computer("oak")
	l.cable(maple, oak)
	l.address(maple, first[0])
	l.address(oak, first[1])
	hers, his := t.TempDir(), t.TempDir()

	_, stopMaple := maple.start("kith --name maple", hers)
	ticket := strings.TrimSpace(maple.must("kith invite", hers))
	_, stopOak := oak.start("kith join "+ticket+" --name oak", his)
	maple.eventually("kith members", hers, `oak\*? +awake +same network`)
	oak.eventually("kith members", his, `maple\*? +awake +same network`)

	stopMaple()
	stopOak()
	l.address(maple, second[0])
	l.address(oak, second[1])
	maple.start("kith", hers)
	oak.start("kith", his)
	maple.eventually("kith members", hers, `oak\*? +awake +same network`)
	oak.eventually("kith members", his, `maple\*? +awake +same network`)
}

// TestOneComputer has two nodes on a computer that has nothing but loopback:
// after one has taken another port, they find each other by multicast.
func TestOneComputer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.computer("one")
	hers, his := t.TempDir(), t.TempDir()
	_, stopMaple := c.start("kith --name maple", hers)
	ticket := strings.TrimSpace(c.must("kith invite", hers))
	_, stopOak := c.start("kith join "+ticket+" --name oak", his)
	c.eventually("kith members", hers, `oak\*? +awake`)
	stopMaple()
	stopOak()
	c.start("kith --overlay-port 5001", hers)
	c.start("kith --overlay-port 5002", his)
	c.eventually("kith members", hers, `oak\*? +awake`)
	c.eventually("kith members", his, `maple\*? +awake`)
}
