package node

import (
	"context"
	"net"

	"kith.alt/kith"
)

// ListenPacket takes a datagram port for a local program.
func (n *Node) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	if err := n.checkOwn(address.Host); err != nil {
		return nil, err
	}
	return n.programs.ListenPacket(ctx, kith.Address{Port: address.Port})
}

// DialPacket takes a free port for a local program's datagrams to and from one
// process.
func (n *Node) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	return n.programs.DialPacket(ctx, address)
}
