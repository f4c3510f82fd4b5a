package kith

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Ports of the overlay that are not for everybody: those below FirstProgramPort,
// and ChatPort, are the node's own, where members reach its applications.
// Programs listen on the others.
const (
	FirstProgramPort = 1024
	ChatPort         = 5269 // chat between servers
)

// An Address names a process: a host and a port on it. How the host is written
// says which network reaches it: an IP address, a path in the file system
// (processes of this host), an ID or a name (the overlay).
//
// It is a [net.Addr].
type Address struct {
	Host string
	Port uint16 // 0 where the host is a path
}

// ParseAddress reads HOST:PORT, or a path. It fails with an [Invalid] error.
func ParseAddress(text string) (Address, error) {
	if IsPath(text) {
		return Address{Host: text}, nil
	}
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, fmt.Errorf("address %q is not HOST:PORT: %w", text, Invalid)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || host == "" {
		return Address{}, fmt.Errorf("address %q needs a host and a port from 0 to 65535: %w", text, Invalid)
	}
	return Address{Host: host, Port: uint16(port)}, nil
}

// IsPath reports whether host is a path in the file system.
func IsPath(host string) bool { return strings.ContainsAny(host, `/\`) }

// Network is "kith" for every address.
func (a Address) Network() string { return "kith" }

// String returns HOST:PORT, or the path.
func (a Address) String() string {
	if IsPath(a.Host) {
		return a.Host
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// A Network carries bytes between processes. It is safe for concurrent use.
// Package networktest is its specification in tests; every implementation
// passes it.
type Network interface {
	// Dial opens a socket to the process that listens at address. It returns
	// after the far side's verdict, as connect(2) does: an error is of kind
	// Refused when nobody listens there, Denied when we may not, NotMember
	// when one side is not in the other's group, NotFound when the name is
	// unknown, Unreachable when no path exists, or it is ctx's error. The
	// context covers the dial only, not the life of the connection. The
	// caller closes the connection. It offers CloseWrite (half-close).
	Dial(ctx context.Context, address Address) (net.Conn, error)

	// Listen takes a port for the caller until it closes the listener, whose
	// Accept then returns net.ErrClosed. Port 0 takes a free one; Addr tells
	// which. It fails with kind InUse when the port is taken. Accepted
	// connections offer CloseWrite and outlive the listener.
	Listen(ctx context.Context, address Address) (net.Listener, error)
}

// HalfCloser is what connections of every [Network] are beside net.Conn:
// CloseWrite ends our direction, the peer reads io.EOF, and we read on.
type HalfCloser interface{ CloseWrite() error }

// CloseWrite ends the writing direction of conn where its type can, looking
// through wrappers that offer NetConn() net.Conn; otherwise it does nothing.
func CloseWrite(conn net.Conn) error {
	for conn != nil {
		if c, ok := conn.(HalfCloser); ok {
			return c.CloseWrite()
		}
		conn = unwrap(conn)
	}
	return nil
}

// A Peer is who stands at the far end of a connection.
type Peer struct {
	ID      ID   // verified by the network: the peer holds the key
	Program bool // a program on the peer's host opened it (gateway, proxy, kith dial, package client), not the peer's node itself
}

// Identified is implemented by connections whose network verified the peer.
type Identified interface{ Peer() Peer }

// PeerOf returns who is at the far end of conn, looking through wrappers that
// offer NetConn() net.Conn (crypto/tls does). It reports false where the
// network verifies nobody: callers then need a login of their own.
func PeerOf(conn net.Conn) (Peer, bool) {
	for conn != nil {
		if c, ok := conn.(Identified); ok {
			return c.Peer(), true
		}
		conn = unwrap(conn)
	}
	return Peer{}, false
}

func unwrap(conn net.Conn) net.Conn {
	if w, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return w.NetConn()
	}
	return nil
}
