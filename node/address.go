package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
	"kith.alt/kith/network/discovery"
)

const (
	maxAddresses = 8                // of a host, in its record
	lookAround   = 10 * time.Second // between looks at this host's own addresses
	forgetPlace  = 6 * time.Hour    // after a member was last met or seen there
)

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
	want := cmp.Or(n.cfg.OverlayPort, n.dir.Node().OverlayPort)
	if want == 0 && n.cfg.PortBase != config.AnyPort {
		want = config.OverlayPort
	}
	got, err := n.overlay.Open(ctx, n.cfg.OverlayHost, uint16(want))
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
	n.tellAddresses(ctx)
	return nil
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

// watchAddresses has the overlay listen as long as somebody may come, and tells
// the members when this host's addresses change.
func (n *Node) watchAddresses(ctx context.Context) error {
	tick := time.NewTicker(lookAround)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.lookAround(ctx)
		}
	}
}

func (n *Node) lookAround(ctx context.Context) {
	n.changing.Lock() // an invitation opens the port before it is one
	defer n.changing.Unlock()
	switch reachable := n.reachable(); {
	case !reachable && n.overlayPort.Load() != 0:
		n.closeOverlay()
	case reachable && n.overlayPort.Load() == 0:
		if err := n.openOverlay(ctx); err != nil {
			n.log.Warn("open overlay", "err", err)
		}
	default:
		n.tellAddresses(ctx)
	}
}

// tellAddresses puts this host's addresses into its record, which members pass
// on. The group writes nothing when they are the same as before.
func (n *Node) tellAddresses(ctx context.Context) {
	own := n.ownAddresses()
	if len(own) == 0 {
		return
	}
	if err := n.group().SetAddresses(ctx, own); err != nil {
		n.log.Warn("tell own addresses", "err", err)
	}
}

// ownAddresses are where this host can be dialled: what it was told to bind,
// else every address of its interfaces, public ones first. Loopback is there
// when there is nothing else, for several nodes on one computer.
func (n *Node) ownAddresses() []netip.AddrPort {
	port := uint16(n.overlayPort.Load())
	if port == 0 {
		return nil
	}
	if bound, err := netip.ParseAddr(n.cfg.OverlayHost); err == nil && !bound.IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(bound, port)}
	}
	var public, private, loopback []netip.AddrPort
	for _, prefix := range interfacePrefixes() {
		a := netip.AddrPortFrom(prefix.Addr(), port)
		switch {
		case prefix.Addr().IsLoopback():
			loopback = append(loopback, a)
		case prefix.Addr().IsPrivate():
			private = append(private, a)
		case prefix.Addr().IsGlobalUnicast():
			public = append(public, a)
		}
	}
	all := slices.Concat(public, private)
	if len(all) == 0 {
		all = loopback
	}
	return all[:min(len(all), maxAddresses)]
}

// addressesOf are where a member may be: where multicast found it, then what its
// record says, of private addresses only those on a network that we share.
func (n *Node) addressesOf(id kith.ID) []netip.AddrPort {
	var list []netip.AddrPort
	n.mu.Lock()
	if place, ok := n.places[id]; ok && time.Since(place.at) < forgetPlace {
		list = append(list, place.addresses...)
	}
	n.mu.Unlock()
	list = append(list, n.group().Addresses(id)...)

	// On a computer with a network loopback is where its own services are, and
	// no place to look for others.
	own := interfacePrefixes()
	if slices.ContainsFunc(n.ownAddresses(), func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() }) {
		own = slices.DeleteFunc(own, func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	}
	var worth []netip.AddrPort
	for _, a := range list {
		if worthTrying(a.Addr(), own) && !slices.Contains(worth, a) {
			worth = append(worth, a)
		}
	}
	return worth
}

// worthTrying keeps what is sent to private addresses on our own networks:
// elsewhere the same address is somebody else's computer.
func worthTrying(a netip.Addr, own []netip.Prefix) bool {
	if !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
		return a.IsGlobalUnicast()
	}
	return onOwnNetwork(a, own)
}

// A place is where a member was met, or seen by multicast.
type place struct {
	addresses []netip.AddrPort
	at        time.Time
}

// notePlace remembers where a member is.
func (n *Node) notePlace(id kith.ID, addresses []netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.places[id] = place{addresses[:min(len(addresses), maxAddresses)], time.Now()}
}

func onOwnNetwork(a netip.Addr, own []netip.Prefix) bool {
	return slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
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
	own := interfacePrefixes()
	if address.IsUnspecified() || slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr() == address.Unmap() }) {
		return nil
	}
	var have []string
	for _, p := range own {
		have = append(have, p.Addr().String())
	}
	return fmt.Errorf("%s is no address of this computer, which has %s: %w", host, strings.Join(have, ", "), kith.Invalid)
}

func interfacePrefixes() []netip.Prefix {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var prefixes []netip.Prefix
	for _, a := range addresses {
		if ipnet, ok := a.(*net.IPNet); ok {
			ip, _ := netip.AddrFromSlice(ipnet.IP)
			ones, _ := ipnet.Mask.Size()
			prefixes = append(prefixes, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return prefixes
}

// discover finds members on the networks that this computer is on, and lets
// them find it, as long as it is in one group; then in the next.
func (n *Node) discover(ctx context.Context) error {
	for ctx.Err() == nil {
		current := n.current.Load()
		looking, cancel := current.during(ctx)
		d := discovery.New(discovery.Config{
			Tag:    tagOf(current.Roster(), n.id),
			Port:   func() uint16 { return uint16(n.overlayPort.Load()) },
			Wanted: func(tag string) bool { _, ok := n.memberOfTag(tag); return ok },
			Found:  n.foundNearby,
			Log:    n.log.With("service", "discovery"),
		})
		err := d.Serve(looking)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// foundNearby notes where multicast found a member.
func (n *Node) foundNearby(tag string, addresses []netip.AddrPort) {
	id, ok := n.memberOfTag(tag)
	if !ok {
		return
	}
	n.notePlace(id, addresses)
	n.retry(id)
}

func (n *Node) memberOfTag(tag string) (kith.ID, bool) {
	roster := n.group().Roster()
	for _, m := range roster.Members() {
		if m.ID != n.id && tagOf(roster, m.ID) == tag {
			return m.ID, true
		}
	}
	return kith.ID{}, false
}

// tagOf is the tag of a host by the roster.
func tagOf(roster *group.Roster, id kith.ID) string {
	genesis := roster.Genesis()
	return lanTag(genesis[:len(group.Ticket{}.Genesis)], id)
}

// lanTag is the name under which a host of a group is announced by multicast: it
// tells those who know the group, and nobody else.
func lanTag(genesis []byte, id kith.ID) string {
	h := sha256.New()
	h.Write([]byte("kith lan 1\x00"))
	h.Write(genesis)
	h.Write(id[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:15]))
}
