package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/folders"
)

var _ kith.Host = (*host)(nil)

// host is what one application sees of the node.
type host struct {
	node *Node
	app  kith.App
	log  *slog.Logger

	listening map[string]func() // by protocol: tells that it is listened to
}

func (h *host) ID() kith.ID     { return h.node.id }
func (h *host) Name() kith.Name { return h.node.name() }
func (h *host) Link(path string) string {
	return strings.TrimSuffix(h.node.siteOf(h.node.name().Host, h.node.id), "/") + path
}

func (h *host) PrivateDir(dir string) bool { return h.node.privateDir(dir) }

func (n *Node) privateDir(dir string) bool {
	data := n.dir.Path()
	return folders.Within(data, dir) || folders.Within(dir, data)
}

func (h *host) PrivatePort(port uint16) bool { return h.node.listensOn(int(port)) }

func (h *host) TLS() *tls.Config        { return h.node.certificates.TLS() }
func (h *host) Accounts() kith.Accounts { return logins{h.node} }
func (h *host) Swarm() kith.Swarm       { return h.node.swarm }
func (h *host) Post() kith.Post         { return h.node.post.For(h.app.Name) }
func (h *host) Restores() int           { return h.node.restores }
func (h *host) Blobs() kith.Blobs       { return h.node.blobs }
func (h *host) Store() kith.Store       { return h.node.store }
func (h *host) Log() *slog.Logger       { return h.log }
func (h *host) Metrics() *kith.Metrics  { return h.node.metrics }
func (h *host) Event(text string)       { h.node.event("%s", text) }

func (h *host) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	return h.node.sockets.Dial(ctx, address)
}

func (h *host) Listen(ctx context.Context, protocol string) (net.Listener, error) {
	for _, port := range h.app.Ports {
		if port.Protocol != protocol {
			continue
		}
		ln, err := h.listen(ctx, port)
		if err != nil {
			return nil, fmt.Errorf("listen for %s: %w", protocol, err)
		}
		h.listening[protocol]()
		return ln, nil
	}
	return nil, fmt.Errorf("%s declares no port for %s: %w", h.app.Name, protocol, kith.NotFound)
}

// listen listens on every network that the port wants, and where the owner opened it. A loopback port that is
// taken does not keep members from the application.
func (h *host) listen(ctx context.Context, port kith.Port) (net.Listener, error) {
	var listeners []net.Listener
	if port.Overlay != 0 {
		ln, err := h.node.overlay.Listen(ctx, kith.Address{Port: port.Overlay})
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, ln)
	}
	if port.Local != kith.LocalNone {
		ln, err := h.node.listenLoopback(h.app.Name, port.Protocol, port.Local)
		if err != nil && len(listeners) == 0 {
			return nil, err
		} else if err != nil {
			h.node.event("%s is not reachable on this computer: %v", h.app.Title, err)
		} else {
			listeners = append(listeners, ln)
			if port.Outside {
				listeners = append(listeners, listenOutside(h.node.doors[h.app.Name], uint16(ln.Addr().(*net.TCPAddr).Port)))
			}
		}
	}
	return joinListeners(listeners), nil
}

func (h *host) ListenPort(ctx context.Context, port uint16) (net.Listener, error) {
	return h.node.programs.Listen(ctx, kith.Address{Port: port})
}

func (h *host) Members() []kith.Member { return h.node.presentMembers() }

func (h *host) SetNames(ctx context.Context, names []string) error {
	h.node.mu.Lock()
	h.node.otherNames[h.app.Name] = slices.Clone(names)
	h.node.mu.Unlock()
	return h.node.showCard(ctx)
}

func (h *host) Resolve(name string) (kith.ID, error) { return h.node.group().Roster().Resolve(name) }

// presentMembers returns the members, this host included, and who is there.
func (n *Node) presentMembers() []kith.Member {
	presences := n.mesh.Presences()
	var members []kith.Member
	for _, m := range n.group().Roster().Members() {
		online := m.ID == n.id || presences[m.ID].Online
		card := n.group().Card(m.ID)
		members = append(members, kith.Member{ID: m.ID, Host: m.Host, Online: online, Admin: m.Admin, Accounts: card.Accounts, Names: card.Names, More: card.More})
	}
	return members
}
