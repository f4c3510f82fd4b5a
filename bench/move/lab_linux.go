package main

import (
	"fmt"

	"kith.alt/kith/kithtest/netlab"
)

// A network is a switch with computers on it. Where it is routed, each is on a
// network of its own.
type network struct {
	lab      *netlab.Lab
	hub      *netlab.Switch
	routed   bool
	attached int
}

// A computer is named by its place on the switch, from 1 on.
type computer struct {
	*netlab.Computer
	network *network
	number  int
	moves   int
}

func newNetwork(t netlab.T, routed bool) *network {
	l := netlab.New(t)
	return &network{lab: l, hub: l.Switch("switch"), routed: routed}
}

// computer makes a computer with its first address.
func (n *network) computer(name string) *computer {
	n.attached++
	c := &computer{n.lab.Computer(name), n, n.attached, 0}
	n.hub.Plug(c.Computer, "eth0")
	if n.routed {
		c.IP("link", "set", "eth0", "multicast", "off")
	}
	c.plug()
	return c
}

// address is the computer's after so many moves. It looks public: go-libp2p
// ignores private ones.
func (c *computer) address(moves int) string { return fmt.Sprintf("11.78.%d.%d", moves, c.number) }

// unplug takes the computer's address away.
func (c *computer) unplug() { c.IP("address", "flush", "dev", "eth0") } // its routes go, too

// plug gives it the next one.
func (c *computer) plug() {
	c.moves++
	const everything = "11.78.0.0/16"
	if !c.network.routed {
		c.IP("address", "add", c.address(c.moves)+"/16", "dev", "eth0")
		return
	}
	c.IP("address", "add", c.address(c.moves)+"/32", "dev", "eth0")
	c.IP("route", "replace", everything, "dev", "eth0", "src", c.address(c.moves))
}
