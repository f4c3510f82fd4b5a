package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/network/ip"
)

// nextFree is how far above its default port a listener looks for a free one.
const nextFree = 100

// listenLoopback listens on the loopback port at offset for a protocol of an
// application. A default port that is taken moves to the next free one, which
// is remembered; a port that was asked for or is remembered does not move, so that
// programs set up with it never reach something else: it is listened on once
// the other program has let go of it.
func (n *Node) listenLoopback(app, protocol string, offset int) (net.Listener, error) {
	take := func() (net.Listener, error) { return n.noteLoopback(app, protocol, offset) }
	ln, err := take()
	if errors.Is(err, kith.InUse) {
		n.event("Nothing listens for %s (%s): %v", app, protocol, err)
		want, _ := n.dir.Node().Port(offset)
		return newLateListener(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: want}, take), nil
	}
	return ln, err
}

// noteLoopback tries to take the port, and notes what came of it for people.
func (n *Node) noteLoopback(app, protocol string, offset int) (net.Listener, error) {
	ln, err := n.takeLoopback(app, offset)
	entry := control.Listener{App: app, Protocol: protocol}
	if err != nil {
		want, _ := n.dir.Node().Port(offset)
		entry.Address, entry.Error = loopbackAddress(want), err.Error()
	} else {
		entry.Address = ln.Addr().String()
	}
	n.noteListener(entry)
	return ln, err
}

func (n *Node) takeLoopback(app string, offset int) (net.Listener, error) {
	port, moves := n.dir.Node().Port(offset)
	last := port
	if moves && port != 0 {
		last = port + nextFree
	}
	for try := port; try <= last; try++ {
		ln, err := (ip.Network{}).Listen(context.Background(), kith.Address{Host: "127.0.0.1", Port: uint16(try)})
		if errors.Is(err, kith.InUse) {
			continue
		} else if err != nil {
			return nil, err
		}
		got := ln.Addr().(*net.TCPAddr).Port
		if moves && got != port {
			n.event("Port %d is taken by another program; %s uses %d instead.", port, app, got)
		}
		err = n.dir.Update(func(c *config.Node) error {
			c.RememberPort(offset, got)
			return nil
		})
		if err != nil {
			ln.Close()
			return nil, err
		}
		return ln, nil
	}
	return nil, fmt.Errorf("port %d is taken by another program; stop that, or move all ports with --port-base: %w", port, kith.InUse)
}

func (n *Node) noteListener(entry control.Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, old := range n.listeners {
		if old.App == entry.App && old.Protocol == entry.Protocol {
			n.listeners[i] = entry
			return
		}
	}
	n.listeners = append(n.listeners, entry)
}

// listensOn reports whether a loopback port is one of the node's own.
func (n *Node) listensOn(port int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.listeners, func(l control.Listener) bool {
		_, text, err := net.SplitHostPort(l.Address)
		return err == nil && l.Error == "" && text == strconv.Itoa(port)
	})
}

// port returns the loopback port that an application's protocol got, 0 if none.
func (n *Node) port(app, protocol string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, entry := range n.listeners {
		if entry.App == app && entry.Protocol == protocol && entry.Error == "" {
			_, port, _ := net.SplitHostPort(entry.Address)
			number, _ := strconv.Atoi(port)
			return number
		}
	}
	return 0
}

func loopbackAddress(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
