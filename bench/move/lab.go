package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A lab is a switch with computers on it, each a network namespace. It belongs
// to one goroutine.
type lab struct {
	routed bool // each computer is on a network of its own
	prefix string
	made   []string // namespaces
}

// A computer is named by its place on the switch, from 1 on.
type computer struct {
	lab    *lab
	ns     string
	number int
	moves  int
}

func newLab(routed bool) (*lab, error) {
	l := &lab{routed: routed, prefix: fmt.Sprintf("move%d-", os.Getpid())}
	if err := l.namespace("switch"); err != nil {
		return nil, err
	}
	return l, ip("-n", l.prefix+"switch", "link", "add", "switch", "up", "type", "bridge", "mcast_snooping", "0")
}

// close ends all computers. What runs on them has ended by then.
func (l *lab) close() {
	for _, name := range l.made {
		ip("netns", "del", name)
	}
}

func (l *lab) namespace(name string) error {
	name = l.prefix + name
	if err := ip("netns", "add", name); err != nil {
		return err
	}
	l.made = append(l.made, name)
	return ip("-n", name, "link", "set", "lo", "up")
}

// computer makes a computer with its first address.
func (l *lab) computer(name string) (*computer, error) {
	if err := l.namespace(name); err != nil {
		return nil, err
	}
	c := &computer{lab: l, ns: l.prefix + name, number: len(l.made)}
	port := fmt.Sprint("port", c.number)
	for _, args := range [][]string{
		{"-n", l.prefix + "switch", "link", "add", port, "up", "master", "switch", "type", "veth", "peer", "name", "eth0", "netns", c.ns},
		{"-n", c.ns, "link", "set", "eth0", "up"},
	} {
		if err := ip(args...); err != nil {
			return nil, err
		}
	}
	if l.routed {
		if err := ip("-n", c.ns, "link", "set", "eth0", "multicast", "off"); err != nil {
			return nil, err
		}
	}
	return c, c.plug()
}

// address is the computer's after so many moves. It looks public: go-libp2p
// ignores private ones.
func (c *computer) address(moves int) string { return fmt.Sprintf("11.78.%d.%d", moves, c.number) }

// unplug takes the computer's address away.
func (c *computer) unplug() error {
	return ip("-n", c.ns, "address", "flush", "dev", "eth0") // its routes go, too
}

// plug gives it the next one.
func (c *computer) plug() error {
	c.moves++
	const everything = "11.78.0.0/16"
	if !c.lab.routed {
		return ip("-n", c.ns, "address", "add", c.address(c.moves)+"/16", "dev", "eth0")
	}
	if err := ip("-n", c.ns, "address", "add", c.address(c.moves)+"/32", "dev", "eth0"); err != nil {
		return err
	}
	return ip("-n", c.ns, "route", "replace", everything, "dev", "eth0", "src", c.address(c.moves))
}

// on has a command run on the computer.
func (c *computer) on(cmd *exec.Cmd) *exec.Cmd {
	inside := exec.Command("ip", append([]string{"netns", "exec", c.ns, cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path, cmd.Args, cmd.Err = inside.Path, inside.Args, inside.Err
	return cmd
}

func (c *computer) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return c.on(exec.CommandContext(ctx, program, args...))
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
