package netlab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"kith.alt/kith/kithtest/require"
)

// Mbit is a rate in bits a second.
const Mbit = 1_000_000

// Rates are what a computer's link carries, frames with all their headers, in
// bits a second. 0 is no limit.
type Rates struct{ Up, Down int }

// Queues in front of a link, as those of home routers that are not bloated.
const (
	burst     = "16kb"
	upQueue   = "100ms"
	downQueue = "50ms"
)

// Host makes a computer on the switch, with an address of its own in
// 10.77.0.0/16 and such a link. It sends no segments larger than a frame, so that what is
// counted is what a wire would carry. It has no IPv6, and TCP is Reno.
func (s *Switch) Host(name string, rates Rates) *Computer {
	s.lab.t.Helper()
	require.Tool(s.lab.t, "tc")
	require.Tool(s.lab.t, "ethtool")
	c := s.lab.Computer(name)
	c.Inside(func() error {
		for setting, value := range map[string]string{
			"ipv6/conf/all/disable_ipv6":     "1",
			"ipv6/conf/default/disable_ipv6": "1",
			"ipv4/tcp_congestion_control":    "reno",
			"ipv4/tcp_no_metrics_save":       "1",
		} {
			err := os.WriteFile("/proc/sys/net/"+setting, []byte(value), 0)
			if err != nil && !os.IsNotExist(err) { // a kernel without IPv6
				return err
			}
		}
		return nil
	})
	port := s.Plug(c, "eth0")
	s.hosts[c] = port
	number := len(s.hosts)
	c.SetAddress(fmt.Sprintf("10.77.%d.%d/16", number/250, number%250+1))
	c.IP("route", "add", "default", "dev", "eth0")
	for _, end := range s.ends(c) {
		end.on.run("nsenter", "--net=/run/netns/"+end.on.ns, "ethtool", "-K", end.device, "tso", "off", "gso", "off", "gro", "off")
	}
	s.Shape(c, rates)
	return c
}

// An end is a device of a link, which delays what leaves by it.
type end struct {
	on     *Computer
	device string
	queue  string
}

// ends returns the computer's own end of its link, and the switch's.
func (s *Switch) ends(c *Computer) [2]end {
	return [2]end{{on: c, device: "eth0", queue: upQueue}, {on: s.on, device: s.hosts[c], queue: downQueue}}
}

// Shape gives the link of a host other rates.
func (s *Switch) Shape(c *Computer, rates Rates) {
	s.lab.t.Helper()
	for i, end := range s.ends(c) {
		rate := [2]int{rates.Up, rates.Down}[i]
		exec.Command("tc", "-n", end.on.ns, "qdisc", "del", "dev", end.device, "root").Run() // fails where there is none
		if rate > 0 {
			end.on.run("tc", "-n", end.on.ns, "qdisc", "add", "dev", end.device, "root",
				"tbf", "rate", strconv.Itoa(rate)+"bit", "burst", burst, "latency", end.queue)
		}
	}
}

// Traffic is what a host has sent and received so far, in bytes of frames,
// without those that a queue has dropped.
type Traffic struct{ Sent, Received int64 }

// Traffic counts at the switch.
func (s *Switch) Traffic(c *Computer) Traffic {
	s.lab.t.Helper()
	out, err := exec.Command("ip", "-n", s.on.ns, "-statistics", "-json", "link", "show", s.hosts[c]).Output()
	var links []struct {
		Stats struct {
			RX, TX struct{ Bytes int64 }
		} `json:"stats64"`
	}
	if err == nil {
		err = json.Unmarshal(out, &links)
	}
	if err != nil || len(links) != 1 {
		s.lab.t.Fatalf("traffic of %s: %v", c.Name, err)
	}
	return Traffic{Sent: links[0].Stats.RX.Bytes, Received: links[0].Stats.TX.Bytes}
}

// run runs a program on this machine that configures the computer.
func (c *Computer) run(name string, args ...string) {
	c.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
