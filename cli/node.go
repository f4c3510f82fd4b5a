package cli

import (
	"context"
	"log/slog"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

// A runner is a node as up and join run it: node.Node, or a test's.
type runner interface {
	control.Node
	Serve(context.Context) error
	Ready() <-chan struct{}
}

// nodeConfig is what the command line says of a node; see node.Config.
type nodeConfig struct {
	data, name, group, ticket string
	portBase, overlayPort     int
	sharedLoopback            bool
	apps                      []kith.App
	log                       *slog.Logger
	version, kith             string
}
