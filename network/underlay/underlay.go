package underlay

import (
	"context"
	"net"
	"net/netip"
)

// An Internet is safe for concurrent use.
type Internet interface {
	// ListenTCP and ListenUDP bind host, an address of this computer or "" for
	// all of them, and a port; 0 takes a free one. A taken port is an error of
	// kind InUse. Addresses are *net.TCPAddr and *net.UDPAddr. The caller closes
	// what they return.
	ListenTCP(ctx context.Context, host string, port uint16) (net.Listener, error)
	ListenUDP(ctx context.Context, host string, port uint16) (net.PacketConn, error)

	// DialTCP connects to address; ctx bounds it.
	DialTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error)

	// Interfaces returns the addresses of the interfaces that are up, loopback
	// included, each with the prefix of its network.
	Interfaces() []netip.Prefix

	// Changes returns a channel that has a message after interfaces, addresses
	// or routes changed, or the computer woke from sleep. Several changes may be
	// one message, and a message may come without a change. The channel is closed
	// when ctx ends.
	Changes(ctx context.Context) <-chan struct{}
}
