package cli

import (
	"context"

	"kith.alt/kith/control"
	"kith.alt/kith/node"
)

// A runner is a node as up and join run it: node.Node, or a test's.
type runner interface {
	control.Node
	Serve(context.Context) error
	Ready() <-chan struct{}
}

func newNode(c node.Config) (runner, error) { return node.New(c) }
