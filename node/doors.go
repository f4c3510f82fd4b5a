package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/network/door"
	"kith.alt/kith/network/underlay"
)

// Client programs on other computers, such as a phone in the same network, reach an application
// where the owner opened it, and then only its ports for programs that sign in over TLS.

// openDoors makes the doors of applications with ports that may be opened, each as its owner left
// it. Nothing listens yet.
func (n *Node) openDoors() error {
	n.doors, n.doorNews = make(map[string]*door.Door), make(chan struct{}, 1)
	changed := func() {
		select {
		case n.doorNews <- struct{}{}:
		default: // the news is on its way
		}
	}
	for _, app := range n.cfg.Apps {
		if !slices.ContainsFunc(app.Ports, func(p kith.Port) bool { return p.Outside }) {
			continue
		}
		open, err := door.Parse(n.dir.Node().Open[app.Name])
		if err != nil {
			return fmt.Errorf("configuration of %s: %w", app.Name, err)
		}
		n.doors[app.Name] = door.New(door.Config{Network: thisNetwork(), Clients: "programs", Changed: changed, Log: n.log.With("app", app.Name)}, open)
	}
	return nil
}

// thisNetwork is the computer's.
func thisNetwork() door.Network {
	system := underlay.System()
	return door.Network{Interfaces: system.Interfaces, Changes: system.Changes, Listen: system.ListenTCP}
}

// Open lets client programs of other computers reach an application, or with to "" no longer; for
// this run and the next ones.
func (n *Node) Open(_ context.Context, app, to string) error {
	open, err := door.Parse(to)
	if err != nil {
		return err
	}
	d := n.doors[app]
	if d == nil {
		return fmt.Errorf("%.40q is nothing that can be opened; it can be one of: %s: %w", app, strings.Join(n.openable(), ", "), kith.NotFound)
	}
	err = d.Set(open, func() error {
		return n.dir.Update(func(c *config.Node) error {
			if c.Open == nil {
				c.Open = make(map[string]string)
			}
			if delete(c.Open, app); to != "" {
				c.Open[app] = open.String()
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	n.updateCertificates() // before anybody comes
	return nil
}

// openable lists the applications that have a door.
func (n *Node) openable() (names []string) {
	for _, app := range n.cfg.Apps {
		if n.doors[app.Name] != nil {
			names = append(names, app.Name)
		}
	}
	return names
}

// doorStatus tells of the doors, and adds where they listen to the listeners.
func (n *Node) doorStatus(listeners []control.Listener) (doors []control.Door, all []control.Listener) {
	for _, app := range n.openable() {
		d := n.doors[app]
		status := control.Door{App: app, Open: d.Opening().String(), Problems: d.Problems()}
		if status.Open != "" {
			status.Name = n.localName()
		}
		for _, at := range d.Addresses() {
			status.Addresses = append(status.Addresses, at.Addr().String())
			for _, l := range slices.Clone(listeners) {
				if l.App == app && l.Address == loopbackAddress(int(at.Port())) {
					listeners = append(listeners, control.Listener{App: app, Protocol: l.Protocol, Address: at.String()})
				}
			}
		}
		status.Addresses = slices.Compact(status.Addresses)
		doors = append(doors, status)
	}
	return doors, listeners
}

// localName is what the local networks know this host by, where something is open.
func (n *Node) localName() string {
	name := n.name()
	return name.Host + "--" + name.Group + ".local"
}

// outside are the addresses at which something is open.
func (n *Node) outside() (list []netip.Addr) {
	for _, d := range n.doors {
		for _, at := range d.Addresses() {
			list = append(list, at.Addr())
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// outsideNames are the names by which client programs of other computers know this one, wherever
// it is now: an address is one where the owner opened just that.
func (n *Node) outsideNames() (names []string) {
	for _, d := range n.doors {
		open := d.Opening()
		if open != (door.Opening{}) {
			names = append(names, n.localName())
		}
		if a, ok := open.Address(); ok {
			names = append(names, a.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// answerOutside has the networks on which something is open know this host by its name there.
func (n *Node) answerOutside(ctx context.Context) error {
	for ctx.Err() == nil {
		answering, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		if addresses := n.outside(); len(addresses) > 0 {
			work.Go(func() {
				if err := door.Answer(answering, n.localName(), addresses); err != nil {
					n.log.Warn("this computer is known by its address only", "err", err)
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-n.doorNews:
		}
		stop()
		work.Wait()
	}
	return nil
}

// An outsider is a listener for what comes in by a door.
type outsider struct {
	door     *door.Door
	accepted chan net.Conn
	ctx      context.Context
	stop     context.CancelFunc
	served   chan struct{}
}

// listenOutside listens on a port wherever the door is open.
func listenOutside(d *door.Door, port uint16) *outsider {
	ctx, stop := context.WithCancel(context.Background())
	o := &outsider{door: d, accepted: make(chan net.Conn), ctx: ctx, stop: stop, served: make(chan struct{})}
	go func() {
		defer close(o.served)
		d.Serve(ctx, port, o.serve)
	}()
	return o
}

// serve hands on who comes in at one address, until ctx ends, and then ends what they
// have.
func (o *outsider) serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // such as too many open files
			select {
			case <-ctx.Done():
			case <-time.After(acceptAgain):
			}
			continue
		}
		remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil || !o.door.Opening().Admits(remote.Addr()) {
			conn.Close()
			continue
		}
		release := context.AfterFunc(ctx, func() { conn.Close() })
		select {
		case o.accepted <- &guest{conn, release}:
		case <-ctx.Done():
		}
	}
}

// acceptAgain is how long a listener rests that cannot accept.
const acceptAgain = time.Second

// A guest is a connection that ends when the door closes.
type guest struct {
	net.Conn
	release func() bool
}

func (g *guest) Close() error {
	g.release()
	return g.Conn.Close()
}

func (o *outsider) Accept() (net.Conn, error) {
	select {
	case conn := <-o.accepted:
		return conn, nil
	case <-o.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (o *outsider) Close() error {
	o.stop()
	<-o.served
	return nil
}

// Addr is of no single address.
func (o *outsider) Addr() net.Addr { return &net.TCPAddr{} }
