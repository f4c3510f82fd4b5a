package client

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
)

// Dial opens a socket to the process at address, HOST:PORT. It returns after
// the far host's verdict. ctx covers the call only; the caller closes the
// connection.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	n, err := here()
	if err != nil {
		return nil, err
	}
	return n.Dial(ctx, address)
}

// Listen takes the port of address, ":PORT", on this host until the listener
// is closed. Port 0 takes a free one; Addr tells which.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	n, err := here()
	if err != nil {
		return nil, err
	}
	return n.Listen(ctx, address)
}

// ListenPacket takes the datagram port of address, ":PORT", on this host until
// the socket is closed. Port 0 takes a free one; LocalAddr tells which. The
// socket's ReadFrom returns a kith.Sender; WriteTo takes that, or a
// kith.Address with a name or an ID.
func ListenPacket(ctx context.Context, address string) (net.PacketConn, error) {
	n, err := here()
	if err != nil {
		return nil, err
	}
	return n.ListenPacket(ctx, address)
}

// DialPacket takes a free port for datagrams to and from the process at
// address, HOST:PORT, as net.Dial("udp", ...) does. That the host is known is
// checked; whether somebody listens there is not.
func DialPacket(ctx context.Context, address string) (net.Conn, error) {
	n, err := here()
	if err != nil {
		return nil, err
	}
	return n.DialPacket(ctx, address)
}

// Node is the node that runs on a data directory of this computer. It is safe
// for concurrent use and holds nothing open.
type Node struct{ control *control.Client }

// At returns the node that runs on the data directory dir.
func At(dir string) *Node { return &Node{control.NewClient(dir)} }

func here() (*Node, error) {
	dir, err := config.DefaultDir()
	if err != nil {
		return nil, err
	}
	return At(dir), nil
}

// Dial is the package's [Dial] through this node.
func (n *Node) Dial(ctx context.Context, address string) (net.Conn, error) {
	a, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	return n.control.Dial(ctx, a)
}

// DialPacket is the package's [DialPacket] through this node.
func (n *Node) DialPacket(ctx context.Context, address string) (net.Conn, error) {
	a, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	return n.control.DialPacket(ctx, a)
}

// Listen is the package's [Listen] on this node.
func (n *Node) Listen(ctx context.Context, address string) (net.Listener, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	return n.control.Listen(ctx, a)
}

// ListenPacket is the package's [ListenPacket] on this node.
func (n *Node) ListenPacket(ctx context.Context, address string) (net.PacketConn, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	return n.control.ListenPacket(ctx, a)
}

// parseTarget reads HOST:PORT, to be dialled.
func parseTarget(address string) (kith.Address, error) {
	a, err := parseAddress(address)
	if err == nil && (a.Host == "" || a.Port == 0) {
		err = fmt.Errorf("it needs a host and a port: %w", kith.Invalid)
	}
	if err != nil {
		return a, fmt.Errorf("dial %s: %w", address, err)
	}
	return a, nil
}

// parseAddress reads HOST:PORT; the host may be empty, as in ":7000".
func parseAddress(text string) (kith.Address, error) {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return kith.Address{Host: text}, fmt.Errorf("it is not HOST:PORT: %w", kith.Invalid)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return kith.Address{Host: host}, fmt.Errorf("port %q is not from 0 to 65535: %w", portText, kith.Invalid)
	}
	return kith.Address{Host: host, Port: uint16(port)}, nil
}
