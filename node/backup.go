package node

import (
	"context"

	"kith.alt/kith/backup"
	"kith.alt/kith/control"
)

// Backup takes a snapshot of the node, and streams it while the node runs on.
func (n *Node) Backup(ctx context.Context) (control.Backup, error) {
	stream, err := backup.Begin(ctx, backup.Source{
		Dir: n.dir.Path(), Store: n.store, Blobs: n.blobs, ID: n.id, Name: n.name().String(), Version: n.cfg.Version,
	})
	if err != nil {
		return control.Backup{}, err
	}
	n.event("A backup of this computer was begun.")
	return control.Backup{Size: stream.Size, ReadCloser: stream}, nil
}
