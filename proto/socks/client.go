package socks

import (
	"fmt"
	"io"
)

// Connect has the client's half of the handshake on conn: it asks the server
// there for request. When it returns nil, conn leads to the target. An error
// wraps a [Reply] where the server refused.
func Connect(conn io.ReadWriter, request Request) error {
	if len(request.Name) > maxName {
		return fmt.Errorf("name of %d bytes, at most %d: %w", len(request.Name), maxName, ErrProtocol)
	}
	if _, err := conn.Write([]byte{Version, 1, methodNone}); err != nil {
		return fmt.Errorf("offer methods: %w", err)
	}
	var head [3]byte
	if _, err := io.ReadFull(conn, head[:2]); err != nil {
		return fmt.Errorf("read method: %w", noEOF(err))
	}
	if head[0] != Version || head[1] != methodNone {
		return fmt.Errorf("server of version %d wants method %#02x: %w", head[0], head[1], ErrProtocol)
	}
	if _, err := conn.Write(request.appendAddress([]byte{Version, byte(request.Command), 0})); err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return fmt.Errorf("read reply: %w", noEOF(err))
	}
	if head[0] != Version {
		return fmt.Errorf("reply of version %d: %w", head[0], ErrProtocol)
	}
	var bound Request
	if err := bound.readAddress(conn); err != nil {
		return fmt.Errorf("read bound address: %w", noEOF(err))
	}
	if reply := Reply(head[1]); reply != Succeeded {
		return fmt.Errorf("connect to %s: %w", request.Target(), reply)
	}
	return nil
}
