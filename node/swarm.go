package node

import (
	"context"
	"net"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/folders"
	"kith.alt/kith/swarm"
)

// openSwarm opens what this host shares. Nothing runs yet.
func (n *Node) openSwarm(ctx context.Context) error {
	n.swarm = swarm.New(swarm.Config{
		Self:  n.id,
		Key:   n.key,
		Dir:   n.dir.File("content"),
		Store: n.store,
		Dial:  n.overlay.Dial,
		Listen: func(ctx context.Context) (net.Listener, error) {
			return n.overlay.Listen(ctx, kith.Address{Port: swarm.Port})
		},
		ListenClients: func(context.Context) (net.Listener, error) {
			return n.listenLoopback("share", "bittorrent", config.BitTorrent)
		},
		Outside: thisNetwork(),
		Group:   func() [32]byte { return n.group().Roster().Genesis() },
		Members: n.presentMembers,
		Paths:   n.swarmPaths,
		Private: n.privateDir,
		Inside:  func(path string) bool { return folders.Within(path, n.dir.Path()) },
		Event:   func(text string) { n.event("%s", text) },
		Log:     n.log.With("service", "swarm"),
		Metrics: n.metrics,
	})
	return n.swarm.Load(ctx)
}

// swarmPaths returns how members are reached that are.
func (n *Node) swarmPaths() map[kith.ID]swarm.Path {
	paths := make(map[kith.ID]swarm.Path)
	for id, p := range n.mesh.Presences() {
		if p.Path != "" {
			paths[id] = swarm.Path{Near: p.Path == control.PathLAN, Since: p.Since, RoundTrip: p.RTT}
		}
	}
	return paths
}
