package socks

import (
	"fmt"
	"io"
	"net/netip"
)

// Connect has the client's half of the handshake on conn: it asks the server
// there for request. When it returns nil, conn leads to the target. An error
// wraps a [Reply] where the server refused.
func Connect(conn io.ReadWriter, request Request) error {
	_, err := ask(conn, request)
	return err
}

// Associate has the client's half of the handshake for datagrams. Those that
// [AppendDatagram] makes are sent to relay by UDP, and those that come from there
// are read with [ParseDatagram], until conn is closed.
func Associate(conn io.ReadWriter) (relay netip.AddrPort, err error) {
	bound, err := ask(conn, Request{Command: CommandAssociate, IP: netip.IPv4Unspecified()})
	if err == nil && bound.Name != "" {
		err = fmt.Errorf("relay has a name, %q: %w", bound.Name, ErrProtocol)
	}
	return netip.AddrPortFrom(bound.IP, bound.Port), err
}

// ask has the client's half of the handshake and returns the address that the
// server bound.
func ask(conn io.ReadWriter, request Request) (bound Request, err error) {
	if len(request.Name) > maxName {
		return bound, fmt.Errorf("name of %d bytes, at most %d: %w", len(request.Name), maxName, ErrProtocol)
	}
	if _, err := conn.Write([]byte{Version, 1, methodNone}); err != nil {
		return bound, fmt.Errorf("offer methods: %w", err)
	}
	var head [3]byte
	if _, err := io.ReadFull(conn, head[:2]); err != nil {
		return bound, fmt.Errorf("read method: %w", noEOF(err))
	}
	if head[0] != Version || head[1] != methodNone {
		return bound, fmt.Errorf("server of version %d wants method %#02x: %w", head[0], head[1], ErrProtocol)
	}
	if _, err := conn.Write(request.appendAddress([]byte{Version, byte(request.Command), 0})); err != nil {
		return bound, fmt.Errorf("write request: %w", err)
	}
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return bound, fmt.Errorf("read reply: %w", noEOF(err))
	}
	if head[0] != Version {
		return bound, fmt.Errorf("reply of version %d: %w", head[0], ErrProtocol)
	}
	if err := bound.readAddress(conn); err != nil {
		return bound, fmt.Errorf("read bound address: %w", noEOF(err))
	}
	if reply := Reply(head[1]); reply != Succeeded {
		return bound, fmt.Errorf("connect to %s: %w", request.Target(), reply)
	}
	return bound, nil
}
