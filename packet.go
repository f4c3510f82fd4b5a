package kith

import (
	"context"
	"fmt"
	"net"
)

const (
	// MaxDatagram is the size of the longest datagram, in bytes.
	MaxDatagram = 8 << 10

	// SmallDatagram is the size up to which a datagram travels as one packet
	// on every path that has packets. Longer ones are carried on a stream
	// there, where one that is lost holds up those behind it.
	SmallDatagram = 1100
)

// A PacketNetwork carries datagrams between processes, as UDP does: a datagram
// of 0 to [MaxDatagram] bytes arrives whole, or not at all, once, and perhaps
// after one that was sent later. Nobody hears of a datagram that is lost on the
// way, that nobody waits for, or that finds a full queue. Ports of datagrams
// are a space of their own. It is safe for concurrent use; package networktest
// is its specification in tests.
type PacketNetwork interface {
	// ListenPacket takes a datagram port of this host for the caller until it
	// closes the socket; port 0 takes a free one. It fails with kind InUse when
	// the port is taken.
	//
	// ReadFrom returns a [Sender]; the rest of a datagram that is longer than
	// the buffer is lost. WriteTo takes an [Address] or a Sender and never waits
	// for the far side. It fails with kind Invalid for a datagram that is too
	// long, and with kind NotFound or NotMember for a host to which nothing can
	// be sent where that is known already. A host that cannot be reached yet is
	// sought; the last few datagrams for it wait that long.
	ListenPacket(ctx context.Context, address Address) (net.PacketConn, error)

	// DialPacket takes a free port for datagrams to and from one process. The
	// connection has them as its writes and reads, and is a net.PacketConn too.
	// Nothing is sent: whether somebody listens there is not known.
	DialPacket(ctx context.Context, address Address) (net.Conn, error)
}

// A Sender is where a datagram came from, and the peer who sent it, verified by
// the network. It is a [net.Addr], and can be compared.
type Sender struct {
	Address
	Peer
}

// AddressOf returns the process that addr names, an [Address] or a [Sender].
func AddressOf(addr net.Addr) (Address, error) {
	switch a := addr.(type) {
	case Address:
		return a, nil
	case Sender:
		return a.Address, nil
	}
	return Address{}, fmt.Errorf("%T is not an address of this network: %w", addr, Invalid)
}

// ConnectPacket makes a packet socket one for datagrams to and from one
// process, whose host is written as ReadFrom has it. The connection has the
// socket's methods, too; closing it closes the socket.
func ConnectPacket(socket net.PacketConn, peer Address) net.Conn {
	return &packetConn{socket, peer}
}

type packetConn struct {
	net.PacketConn
	peer Address
}

func (c *packetConn) Read(p []byte) (int, error) {
	n, _, err := c.ReadFrom(p)
	return n, err
}

// ReadFrom drops the datagrams of others.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(p)
		if err != nil {
			return n, from, err
		}
		if address, err := AddressOf(from); err == nil && address == c.peer {
			return n, from, nil
		}
	}
}

func (c *packetConn) Write(p []byte) (int, error) { return c.WriteTo(p, c.peer) }
func (c *packetConn) RemoteAddr() net.Addr        { return c.peer }
