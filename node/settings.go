package node

import (
	"context"
	"net/netip"
	"time"

	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/network/overlay"
)

// suspendDefault is how long sockets wait for a path where the owner said
// nothing else.
const suspendDefault = 24 * time.Hour

// Configure changes settings, for this run and the next ones.
func (n *Node) Configure(_ context.Context, settings control.Settings) error {
	err := n.dir.Update(func(c *config.Node) error {
		set(c, settings)
		return nil
	})
	if err != nil {
		return err
	}
	n.overlay.SetRelayLimits(relayLimits(n.dir.Node()))
	if settings.Public != nil || settings.PortMapping != nil {
		n.mesh.Moved()
	} else if settings.Introduce != nil {
		n.mesh.Wake()
	}
	return nil
}

// set changes c as the settings say.
func set(c *config.Node, s control.Settings) {
	if s.Public != nil {
		c.Public = *s.Public
	}
	if s.Introduce != nil {
		c.Introduce = *s.Introduce
	}
	if s.PortMapping != nil {
		c.NoPortMapping = !*s.PortMapping
	}
	if s.Relay != nil {
		c.Relay = config.Relay(*s.Relay)
	}
}

// ask changes c as this start asks for.
func (n *Node) ask(c *config.Node) {
	set(c, n.cfg.Settings)
	if n.cfg.DHTNodes != nil {
		c.DHTNodes = n.cfg.DHTNodes
	}
	if n.cfg.SuspendFor != 0 {
		c.SuspendFor = config.Duration(n.cfg.SuspendFor)
	}
}

// asked is the configuration as it will be once this start is settled.
func (n *Node) asked() config.Node {
	c := n.dir.Node()
	n.ask(&c)
	return c
}

func (n *Node) suspendFor() time.Duration {
	if d := time.Duration(n.dir.Node().SuspendFor); d != 0 {
		return d
	}
	return suspendDefault
}

// publicAddresses are where the owner says that a router passes on what comes
// for the overlay's port.
func (n *Node) publicAddresses() []netip.AddrPort {
	return n.dir.Node().PublicAddresses(uint16(n.overlayPort.Load()))
}

func relayLimits(c config.Node) overlay.RelayLimits { return overlay.RelayLimits(c.Relay) }
