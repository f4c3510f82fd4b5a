package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/network/underlay"
)

// portLook is how often the node looks whether the overlay should listen.
const portLook = 10 * time.Second

// reachable tells whether others are, or may come to be, in the group: only
// then does the overlay listen.
func (n *Node) reachable() bool {
	g := n.group()
	return len(g.Roster().Members()) > 1 || g.InvitationOpen()
}

// openOverlay has the overlay listen, if it does not yet: on the port that was
// asked for or used before, else on any that is free.
func (n *Node) openOverlay(ctx context.Context) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	if n.overlayPort.Load() != 0 {
		return nil
	}
	want := n.wantedPort()
	got, err := n.overlay.Open(ctx, n.cfg.OverlayHost, want)
	if errors.Is(err, kith.InUse) {
		n.log.Info("overlay port is taken, takes a free one", "port", want)
		got, err = n.overlay.Open(ctx, n.cfg.OverlayHost, 0)
	}
	if err != nil {
		return err
	}
	n.overlayPort.Store(uint32(got.Port()))
	for _, protocol := range []string{"udp", "tcp"} {
		n.noteListener(control.Listener{App: control.AppOverlay, Protocol: protocol, Address: got.String()})
	}
	if err := n.dir.Update(func(c *config.Node) error {
		c.OverlayPort = int(got.Port())
		return nil
	}); err != nil {
		return err
	}
	n.mesh.Wake()
	return nil
}

// wantedPort is the port that was asked for or used before, or the usual one.
func (n *Node) wantedPort() uint16 {
	want := cmp.Or(n.cfg.OverlayPort, n.dir.Node().OverlayPort)
	if want == 0 && n.cfg.PortBase != config.AnyPort {
		want = config.OverlayPort
	}
	return uint16(want)
}

// closeOverlay has the overlay listen no more: the host is alone again.
func (n *Node) closeOverlay() {
	n.opening.Lock()
	defer n.opening.Unlock()
	n.overlay.Shut()
	n.overlayPort.Store(0)
	n.mu.Lock()
	n.listeners = slices.DeleteFunc(n.listeners, func(l control.Listener) bool { return l.App == control.AppOverlay })
	n.mu.Unlock()
}

// keepPort has the overlay listen as long as somebody may come.
func (n *Node) keepPort(ctx context.Context) error {
	tick := time.NewTicker(portLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.openOrClose(ctx)
		}
	}
}

func (n *Node) openOrClose(ctx context.Context) {
	n.changing.Lock() // an invitation opens the port before it is one
	defer n.changing.Unlock()
	switch reachable := n.reachable(); {
	case !reachable && n.overlayPort.Load() != 0:
		n.closeOverlay()
	case reachable && n.overlayPort.Load() == 0:
		if err := n.openOverlay(ctx); err != nil {
			n.log.Warn("open overlay", "err", err)
		}
	}
}

// checkOwnAddress says why the overlay cannot bind host, or returns nil.
func checkOwnAddress(host string) error {
	if host == "" {
		return nil
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%q is not an IP address: %w", host, kith.Invalid)
	}
	own := underlay.System().Interfaces()
	if address.IsUnspecified() || slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr() == address.Unmap() }) {
		return nil
	}
	var have []string
	for _, p := range own {
		have = append(have, p.Addr().String())
	}
	return fmt.Errorf("%s is no address of this computer, which has %s: %w", host, strings.Join(have, ", "), kith.Invalid)
}
