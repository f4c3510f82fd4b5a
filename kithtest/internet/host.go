package internet

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// A Host is a computer: the Internet as it sees it is an underlay.Internet. It
// is safe for concurrent use.
type Host struct {
	net    *Net
	name   string
	random *rand.Rand

	router  *Router
	link    *Link
	address netip.Addr // invalid while it has none
	asleep  bool

	watchers map[chan struct{}]bool
	packets  map[netip.AddrPort]*packetConn // by what they are bound to
	listens  map[netip.AddrPort]*listener
	conns    map[connKey]*conn
	port     uint16 // that was given to a socket last
	traffic  Traffic
}

type connKey struct{ local, remote netip.AddrPort }

func (n *Net) newHost(name string, on *Router) *Host {
	h := &Host{
		net: n, name: name, random: n.random(), router: on, link: n.newLink(on),
		watchers: map[chan struct{}]bool{}, packets: map[netip.AddrPort]*packetConn{},
		listens: map[netip.AddrPort]*listener{}, conns: map[connKey]*conn{},
	}
	h.port = firstEphemeral + uint16(h.random.IntN(ephemerals))
	h.address = on.lease(h)
	return h
}

// Name returns what the host was called when it was made.
func (h *Host) Name() string { return h.name }

// String returns the name.
func (h *Host) String() string { return h.name }

// Router returns the router whose network the host is on.
func (h *Host) Router() *Router {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.router
}

// Link returns the host's link to the network that it is on. It stays the same
// when the host moves, with the delay and loss of the new place.
func (h *Host) Link() *Link { return h.link }

// Address returns the host's address on the network that it is on; it is
// invalid while the host is unplugged.
func (h *Host) Address() netip.Addr {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.address
}

// Traffic returns what the host has sent to others and received from them.
func (h *Host) Traffic() Traffic {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.traffic
}

// Move unplugs the host and plugs it in elsewhere, at once. A network that it
// was on before gives it the address that it had there.
func (h *Host) Move(to *Router) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.leave()
	h.router = to
	h.link.attach(to)
	h.address = to.lease(h)
	h.changed()
}

// Unplug takes the host's address away. Its TCP connections are not told.
func (h *Host) Unplug() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.address.IsValid() {
		h.leave()
		h.changed()
	}
}

// Plug gives an unplugged host its address again.
func (h *Host) Plug() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !h.address.IsValid() {
		h.address = h.router.lease(h)
		h.changed()
	}
}

// Sleep has all packets to the host and from it dropped. Its programs go on,
// which those of a computer that sleeps would not.
func (h *Host) Sleep() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.asleep = true
}

// Wake ends Sleep, and is a change.
func (h *Host) Wake() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.asleep {
		h.asleep = false
		h.changed()
	}
}

func (h *Host) leave() {
	if h.address.IsValid() {
		h.router.release(h, h.address)
		h.address = netip.Addr{}
	}
}

func (h *Host) changed() {
	for w := range h.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Changes is that of underlay.Internet.
func (h *Host) Changes(ctx context.Context) <-chan struct{} {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	w := make(chan struct{}, 1)
	h.watchers[w] = true
	context.AfterFunc(ctx, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		delete(h.watchers, w)
		close(w)
	})
	return w
}

var loopback = netip.MustParseAddr("127.0.0.1")

// Interfaces is that of underlay.Internet.
func (h *Host) Interfaces() []netip.Prefix {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	prefixes := []netip.Prefix{netip.PrefixFrom(loopback, 8)}
	if h.address.IsValid() {
		bits := 32 // on the public Internet no two hosts share a network
		if h.router.outer != nil {
			bits = h.router.inside.Bits()
		}
		prefixes = append(prefixes, netip.PrefixFrom(h.address, bits))
	}
	return prefixes
}

func (h *Host) uplink() *Link { return h.link }

// owns reports whether packets to address stay on the host.
func (h *Host) owns(address netip.Addr) bool {
	return address.IsLoopback() || h.address.IsValid() && address == h.address
}

// sourceFor returns the address that packets of a socket that is bound to bound
// have when they go to remote. It reports false when there is no route.
func (h *Host) sourceFor(bound, remote netip.Addr) (netip.Addr, bool) {
	switch {
	case remote.IsLoopback():
		return loopback, !h.isAddress(bound) || bound.IsLoopback()
	case h.isAddress(bound):
		return bound, h.address.IsValid()
	}
	return h.address, h.address.IsValid()
}

func (h *Host) isAddress(bound netip.Addr) bool { return bound.IsValid() && !bound.IsUnspecified() }

// send puts a packet on its way. One whose source is not an address of the host
// any longer goes nowhere.
func (h *Host) send(p *packet) {
	p.from, p.sentSource, p.sentDestination = h, p.source, p.destination
	if h.owns(p.destination.Addr()) {
		if h.owns(p.source.Addr()) {
			h.net.after(0, func() { h.take(p) })
		}
		return
	}
	if p.source.Addr() != h.address || !h.address.IsValid() || h.asleep {
		return
	}
	h.traffic.PacketsSent++
	h.traffic.BytesSent += int64(p.size)
	h.net.sent[p.destination]++
	h.link.cross(p, h.router.forward)
}

// arrive takes a packet from the network.
func (h *Host) arrive(p *packet) {
	if h.asleep || p.destination.Addr() != h.address {
		h.net.end(p, NotThere)
		return
	}
	if h.net.cuts[[2]*Host{p.from, h}] {
		h.net.end(p, Cut)
		return
	}
	p.to = h
	h.traffic.PacketsReceived++
	h.traffic.BytesReceived += int64(p.size)
	h.net.end(p, h.take(p))
}

// take gives a packet to the socket that it is for.
func (h *Host) take(p *packet) Fate {
	if p.protocol == TCP {
		h.takeSegment(p)
		return Delivered
	}
	s := h.packets[p.destination]
	if s == nil {
		s = h.packets[anyAddress(p.destination.Port())]
	}
	if s != nil && !s.deliver(p) {
		return NotAccepted
	}
	return Delivered
}

// anyAddress is what a socket is bound to that takes all of the host's
// addresses.
func anyAddress(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), port)
}

// Ports that are given to sockets that ask for none (as Linux does).
const (
	firstEphemeral = 32768
	ephemerals     = 60999 - firstEphemeral + 1
)

// freePort returns the next ephemeral port that taken does not report.
func (h *Host) freePort(taken func(uint16) bool) (uint16, bool) {
	for range ephemerals {
		h.port = firstEphemeral + (h.port-firstEphemeral+1)%ephemerals
		if !taken(h.port) {
			return h.port, true
		}
	}
	return 0, false
}

// bound reports whether a socket among sockets stands in the way of another
// at address.
func bound[S any](sockets map[netip.AddrPort]S, address netip.AddrPort) bool {
	if address.Addr().IsUnspecified() {
		return slices.ContainsFunc(slices.Collect(maps.Keys(sockets)), func(a netip.AddrPort) bool { return a.Port() == address.Port() })
	}
	_, here := sockets[address]
	_, everywhere := sockets[anyAddress(address.Port())]
	return here || everywhere
}
