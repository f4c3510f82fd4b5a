package netlab

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// A Switch has computers on it as neighbours.
type Switch struct {
	lab   *Lab
	on    *Computer // that the bridge is in
	ports int
	hosts map[*Computer]string // and their ports
}

// Switch makes a switch in a namespace of its own, that nobody is on yet.
func (l *Lab) Switch(name string) *Switch {
	l.t.Helper()
	return newSwitch(l, l.Computer(name))
}

func newSwitch(l *Lab, on *Computer) *Switch {
	l.t.Helper()
	on.IP("link", "add", "lan", "up", "type", "bridge", "mcast_snooping", "0")
	return &Switch{lab: l, on: on, hosts: make(map[*Computer]string)}
}

// Plug gives a computer a device, such as "eth0", and puts it on the switch. It
// has no address yet. Plug returns the name of the switch's end.
func (s *Switch) Plug(c *Computer, device string) (port string) {
	s.lab.t.Helper()
	port = fmt.Sprint("port", s.ports)
	s.ports++
	s.on.IP("link", "add", port, "type", "veth", "peer", "name", device, "netns", c.ns)
	s.on.IP("link", "set", port, "master", "lan", "up")
	c.IP("link", "set", device, "multicast", "on", "up")
	s.awaitForwarding(port)
	return port
}

// awaitForwarding waits until the switch passes frames of a port on, which the
// kernel may delay for a second.
func (s *Switch) awaitForwarding(port string) {
	s.lab.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		out, err := exec.Command("ip", "-n", s.on.ns, "-details", "link", "show", port).Output()
		if err == nil && strings.Contains(string(out), "state forwarding") {
			return
		}
	}
	s.lab.t.Fatalf("%s does not forward from %s", s.on.Name, port)
}
