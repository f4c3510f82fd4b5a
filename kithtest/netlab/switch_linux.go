package netlab

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// A Switch has computers on it as neighbours.
type Switch struct {
	on    *Computer // that the bridge is in
	ports int
}

// Switch makes a switch in a namespace of its own, that nobody is on yet.
func (l *Lab) Switch(name string) *Switch {
	l.t.Helper()
	return newSwitch(l.Computer(name))
}

func newSwitch(on *Computer) *Switch {
	on.t.Helper()
	on.IP("link", "add", "lan", "up", "type", "bridge", "mcast_snooping", "0")
	return &Switch{on: on}
}

// Plug puts the computer's eth0 on the switch. It has no address yet.
func (s *Switch) Plug(c *Computer) {
	s.on.t.Helper()
	s.plug(c, "eth0")
}

// plug returns the name of the switch's end.
func (s *Switch) plug(c *Computer, device string) (port string) {
	s.on.t.Helper()
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
	s.on.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		out, err := exec.Command("ip", "-n", s.on.ns, "-details", "link", "show", port).Output()
		if err == nil && strings.Contains(string(out), "state forwarding") {
			return
		}
	}
	s.on.t.Fatalf("%s does not forward from %s", s.on.Name, port)
}
