//go:build kithnode

package cli

import (
	"kith.alt/kith"
	"kith.alt/kith/app/all"
	"kith.alt/kith/node"
)

func apps() []kith.App { return all.Apps() }

func newNode(c nodeConfig) (runner, error) {
	return node.New(node.Config{
		Data: c.data, Name: c.name, Group: c.group, Ticket: c.ticket,
		PortBase: c.portBase, OverlayPort: c.overlayPort, SharedLoopback: c.sharedLoopback,
		Apps: c.apps, Log: c.log, Version: c.version, Kith: c.kith,
	})
}
