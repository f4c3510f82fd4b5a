package composite

import (
	"context"
	"fmt"
	"net"

	"kith.alt/kith"
)

var _ kith.PacketNetwork = (*Network)(nil)

// ListenPacket takes a datagram port on the network that address is on. The
// socket's WriteTo takes names, too.
func (n *Network) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	network, on, err := n.pickPacket(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	socket, err := network.ListenPacket(ctx, on)
	if err != nil {
		return nil, err
	}
	return packetConn{socket, n}, nil
}

// DialPacket takes a free port for datagrams to and from one process.
func (n *Network) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	network, on, err := n.pickPacket(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return network.DialPacket(ctx, on)
}

func (n *Network) pickPacket(address kith.Address) (kith.PacketNetwork, kith.Address, error) {
	network, on, err := n.pick(address)
	if err != nil {
		return nil, on, err
	}
	packets, ok := network.(kith.PacketNetwork)
	if !ok {
		return nil, on, fmt.Errorf("no datagrams there: %w", kith.Denied)
	}
	return packets, on, nil
}

// packetConn writes to names.
type packetConn struct {
	net.PacketConn
	network *Network
}

func (c packetConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	address, err := kith.AddressOf(addr)
	if err == nil {
		if _, idErr := kith.ParseID(address.Host); idErr != nil {
			_, address, err = c.network.pickPacket(address)
		}
	}
	if err != nil {
		return 0, &net.OpError{Op: "write", Net: "kith", Source: c.LocalAddr(), Addr: addr, Err: err}
	}
	return c.PacketConn.WriteTo(p, address)
}
