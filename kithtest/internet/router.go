package internet

import (
	"net/netip"
	"time"
)

// A node has an address on a router's network: a host, or another router.
type node interface {
	uplink() *Link
	arrive(*packet) // from the network that it is on, over its link
}

// A Router joins its own network, the inside, with the one it is on. It is safe
// for concurrent use.
type Router struct {
	net    *Net
	kind   NAT
	outer  *Router // nil for the public Internet
	link   *Link   // to outer
	inside netip.Prefix
	nodes  map[netip.Addr]node // on the inside
	leases map[node]netip.Addr // what each node has or had: it gets it again
	last   netip.Addr          // that was leased

	nat     *translator // nil without
	outside netip.Addr  // of a router with NAT
	hairpin bool
	down    bool
}

// rebootTime is how long a router that reboots passes nothing on.
const rebootTime = 30 * time.Second

// Router adds a router of a kind behind this one. For a kind with two layers
// of NAT it adds both and returns the inner one.
func (r *Router) Router(kind NAT) *Router {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	n := r.net
	switch kind {
	case Double:
		return n.newRouter(PortRestricted, n.newRouter(PortRestricted, r))
	case CarrierGrade:
		return n.newRouter(PortRestricted, n.newCarrier(r))
	case SameCarrier:
		if n.carrier == nil {
			n.carrier = n.newCarrier(n.public)
		}
		return n.newRouter(PortRestricted, n.carrier)
	}
	return n.newRouter(kind, r)
}

func (n *Net) newCarrier(outer *Router) *Router {
	carrier := n.newRouter(PortRestricted, outer)
	carrier.setInside(carrierInside)
	return carrier
}

func (n *Net) newRouter(kind NAT, outer *Router) *Router {
	r := &Router{
		net: n, kind: kind, outer: outer, link: n.newLink(outer),
		nodes: map[netip.Addr]node{}, leases: map[node]netip.Addr{},
	}
	r.setInside(n.insidePrefix(kind, outer))
	if kind != None {
		r.nat = newTranslator(kind, n.random())
		r.outside = outer.lease(r)
	}
	return r
}

func (r *Router) setInside(prefix netip.Prefix) {
	r.inside = prefix
	r.last = prefix.Addr().Next() // the router's own
}

// Host adds a host to the router's network.
func (r *Router) Host(name string) *Host {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.net.newHost(name, r)
}

// Outer returns the router that this one is behind, the public Internet's
// for one that has a public address, and nil for that itself.
func (r *Router) Outer() *Router { return r.outer }

// Outside returns the router's address on the network that it is on. A router
// without NAT has none.
func (r *Router) Outside() netip.Addr {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.outside
}

// Inside returns the prefix of the router's own network. That of the public
// Internet is invalid.
func (r *Router) Inside() netip.Prefix {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.inside
}

// Link returns the router's link to the network that it is on, nil for the
// public Internet.
func (r *Router) Link() *Link { return r.link }

// SetHairpin says whether the NAT sends a packet from inside to its own outside
// address back inside (RFC 4787 6). It does not at first.
func (r *Router) SetHairpin(on bool) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.hairpin = on
}

// SetLifetime sets how long a UDP mapping lives without packets: 120 s at first.
func (r *Router) SetLifetime(d time.Duration) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	if r.nat != nil {
		r.nat.udpLifetime = d
	}
}

// Forward gives the host the outside port of the same number, for UDP and TCP,
// at the address that the host has now. Where there are routers between this
// one and the host, each needs its own. A router without NAT forwards anyway.
func (r *Router) Forward(port uint16, host *Host) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	to := host.address
	for via := host.router; via != r; via = via.outer {
		if via == nil {
			panic("internet: Forward to a host that is not behind the router")
		}
		to = via.outside
	}
	if r.nat != nil {
		r.nat.forwards[port] = netip.AddrPortFrom(to, port)
	}
}

// Forget drops all mappings, but not what was forwarded.
func (r *Router) Forget() {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	if r.nat != nil {
		r.nat.forget()
	}
}

// Reboot drops all mappings, passes nothing on for 30 s, and then has another
// outside address. Hosts are not told.
func (r *Router) Reboot() {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.down = true
	r.net.after(rebootTime, func() {
		r.down = false
		if r.nat == nil {
			return
		}
		r.nat.forget()
		r.outer.release(r, r.outside)
		delete(r.outer.leases, r)
		r.outside = r.outer.lease(r)
	})
}

// lease gives a node an address on the router's network.
func (r *Router) lease(to node) netip.Addr {
	address, ok := r.leases[to]
	if !ok {
		if r.outer == nil {
			r.last = nextPublic(r.last)
		} else if r.last = r.last.Next(); !r.inside.Contains(r.last.Next()) {
			panic("internet: out of addresses of " + r.inside.String())
		}
		address = r.last
		r.leases[to] = address
	}
	r.route(address, to)
	return address
}

// route has packets to address go to a node. Networks of routers without NAT
// are known outside.
func (r *Router) route(address netip.Addr, to node) {
	r.nodes[address] = to
	if r.kind == None && r.outer != nil {
		r.outer.route(address, r)
	}
}

func (r *Router) release(n node, address netip.Addr) {
	if r.nodes[address] != n {
		return
	}
	delete(r.nodes, address)
	if r.kind == None && r.outer != nil {
		r.outer.release(r, address)
	}
}

func (r *Router) uplink() *Link { return r.link }

// forward takes a packet from a node on the inside.
func (r *Router) forward(p *packet) {
	to, here := r.nodes[p.destination.Addr()]
	switch {
	case here:
		to.uplink().cross(p, to.arrive)
	case r.outer == nil || r.inside.Contains(p.destination.Addr()):
		r.net.end(p, NoRoute)
	case r.down:
		r.net.end(p, Down)
	case r.nat == nil:
		r.link.cross(p, r.outer.forward)
	default:
		r.translate(p)
	}
}

// translate sends a packet from the inside out under the router's address.
func (r *Router) translate(p *packet) {
	turned := p.destination.Addr() == r.outside
	if turned && !r.hairpin {
		r.net.end(p, NoHairpin)
		return
	}
	port, fate := r.nat.out(p, r.net.now())
	if fate != Delivered {
		r.net.end(p, fate)
		return
	}
	p.source = netip.AddrPortFrom(r.outside, port)
	if turned {
		r.arrive(p)
		return
	}
	r.link.cross(p, r.outer.forward)
}

// arrive takes a packet from the outside.
func (r *Router) arrive(p *packet) {
	if r.down {
		r.net.end(p, Down)
		return
	}
	if r.nat != nil {
		if p.destination.Addr() != r.outside { // it was, when the packet was on its way
			r.net.end(p, NoRoute)
			return
		}
		inside, fate := r.nat.in(p, r.net.now())
		if fate != Delivered {
			r.net.end(p, fate)
			return
		}
		p.destination = inside
	}
	to, here := r.nodes[p.destination.Addr()]
	if !here {
		r.net.end(p, NoRoute)
		return
	}
	to.uplink().cross(p, to.arrive)
}
