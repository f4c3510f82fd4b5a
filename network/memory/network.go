package memory

import (
	"context"
	"fmt"
	"net"
	"sync"

	"kith.alt/kith"
)

const (
	backlog       = 128   // connections that wait for Accept; further dials wait
	ephemeralPort = 49152 // the first port that port 0 takes (RFC 6335 6)
)

// A Hub joins the hosts of a test. It is safe for concurrent use.
type Hub struct {
	mu        sync.Mutex
	hosts     map[kith.ID]bool
	listeners map[endpoint]*listener
	packets   map[endpoint]*packetSocket
	cut       map[[2]kith.ID]bool
	open      map[*connection]bool // dialing ends, until either end is closed
	nextPort  uint16
}

type endpoint struct {
	host kith.ID
	port uint16
}

func (e endpoint) address() kith.Address { return kith.Address{Host: e.host.String(), Port: e.port} }

// NewHub returns a hub without hosts.
func NewHub() *Hub {
	return &Hub{
		hosts:     make(map[kith.ID]bool),
		listeners: make(map[endpoint]*listener),
		packets:   make(map[endpoint]*packetSocket),
		cut:       make(map[[2]kith.ID]bool),
		open:      make(map[*connection]bool),
		nextPort:  ephemeralPort,
	}
}

// Network returns the network as the host id sees it, and makes the host
// reachable. Addresses on it are an ID and a port; the empty host is id itself.
func (h *Hub) Network(id kith.ID) *Network {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts[id] = true
	return &Network{hub: h, id: id}
}

// Cut takes away the path between two hosts: their open connections fail, and
// dials are Unreachable, until Mend.
func (h *Hub) Cut(a, b kith.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut[path(a, b)] = true
	for c := range h.open {
		if path(c.local.host, c.remote.host) == path(a, b) {
			c.fail(fmt.Errorf("the path was cut: %w", kith.Unreachable))
			delete(h.open, c)
		}
	}
}

// Mend gives the path between two hosts back.
func (h *Hub) Mend(a, b kith.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.cut, path(a, b))
}

// path is the same for both directions.
func path(a, b kith.ID) [2]kith.ID {
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	return [2]kith.ID{a, b}
}

func (h *Hub) forget(c *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, c)
}

// A Network is one host's view of a [Hub]. It is a [kith.Network].
type Network struct {
	hub *Hub
	id  kith.ID
}

// Dial opens a connection to the process that listens at address.
func (n *Network) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	conn, err := n.dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

func (n *Network) dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	far, err := n.endpoint(address)
	if err != nil {
		return nil, err
	}
	l, err := n.route(far)
	if err != nil {
		return nil, err
	}
	near := endpoint{host: n.id, port: n.hub.takePort()}
	dialed, accepted := newConnection(n.hub, near, far)
	if err := l.offer(ctx, accepted); err != nil {
		return nil, err
	}
	return dialed, n.hub.keep(dialed)
}

// route finds who listens at far.
func (n *Network) route(far endpoint) (*listener, error) {
	n.hub.mu.Lock()
	defer n.hub.mu.Unlock()
	if !n.hub.hosts[far.host] || n.hub.cut[path(n.id, far.host)] {
		return nil, kith.Unreachable
	}
	l, ok := n.hub.listeners[far]
	if !ok {
		return nil, kith.Refused
	}
	return l, nil
}

// keep remembers a new connection, unless its path was cut meanwhile.
func (h *Hub) keep(c *connection) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut[path(c.local.host, c.remote.host)] {
		c.fail(kith.Unreachable)
		return kith.Unreachable
	}
	h.open[c] = true
	return nil
}

// Listen takes a port of the host.
func (n *Network) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	l, err := n.listen(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

func (n *Network) listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := n.endpoint(address)
	if err != nil {
		return nil, err
	}
	if at.host != n.id {
		return nil, fmt.Errorf("the address is another host's: %w", kith.Invalid)
	}
	for port := at.port; ; {
		if port == 0 {
			at.port = n.hub.takePort()
		}
		l := newListener(n.hub, at)
		if n.hub.claim(l) {
			return l, nil
		}
		if port != 0 {
			return nil, kith.InUse
		}
	}
}

// endpoint reads an address of this network.
func (n *Network) endpoint(address kith.Address) (endpoint, error) {
	if address.Host == "" {
		return endpoint{n.id, address.Port}, nil
	}
	id, err := kith.ParseID(address.Host)
	return endpoint{id, address.Port}, err
}

func (h *Hub) claim(l *listener) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners[l.at] != nil {
		return false
	}
	h.listeners[l.at] = l
	return true
}

func (h *Hub) release(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l.at)
}

// takePort returns the next ephemeral port.
func (h *Hub) takePort() uint16 {
	h.mu.Lock()
	defer h.mu.Unlock()
	port := h.nextPort
	if h.nextPort++; h.nextPort == 0 {
		h.nextPort = ephemeralPort
	}
	return port
}
