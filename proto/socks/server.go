package socks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// ReadRequest has the server's half of the handshake up to the client's
// request, which the caller answers with [WriteReply]. Where the conversation
// cannot go on it answers itself and returns an error, which wraps
// [ErrProtocol] or comes from conn; the caller then closes the connection.
func ReadRequest(conn io.ReadWriter) (Request, error) {
	var head [1]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return Request{}, fmt.Errorf("read version: %w", noEOF(err))
	}
	if head[0] != Version {
		return Request{}, fmt.Errorf("version %d: %w", head[0], ErrProtocol)
	}
	if err := chooseMethod(conn); err != nil {
		return Request{}, err
	}
	var fixed [3]byte // version, command, reserved (RFC 1928 4)
	if _, err := io.ReadFull(conn, fixed[:]); err != nil {
		return Request{}, fmt.Errorf("read request: %w", noEOF(err))
	}
	if fixed[0] != Version {
		return Request{}, fmt.Errorf("request of version %d: %w", fixed[0], ErrProtocol)
	}
	request := Request{Command: Command(fixed[1])}
	err := request.readAddress(conn)
	if reply := Reply(0); errors.As(err, &reply) {
		WriteReply(conn, reply)
		return Request{}, fmt.Errorf("%w: %w", reply, ErrProtocol)
	}
	if err != nil {
		return Request{}, fmt.Errorf("read target: %w", noEOF(err))
	}
	return request, nil
}

// chooseMethod reads the client's methods and picks "none required"
// (RFC 1928 3).
func chooseMethod(conn io.ReadWriter) error {
	var buf [255]byte
	if _, err := io.ReadFull(conn, buf[:1]); err != nil {
		return fmt.Errorf("read methods: %w", noEOF(err))
	}
	methods := buf[:buf[0]]
	if _, err := io.ReadFull(conn, methods); err != nil {
		return fmt.Errorf("read methods: %w", noEOF(err))
	}
	answer := []byte{Version, methodNone}
	if bytes.IndexByte(methods, methodNone) < 0 {
		answer[1] = methodUnacceptable
	}
	if _, err := conn.Write(answer); err != nil {
		return fmt.Errorf("answer methods: %w", err)
	}
	if answer[1] == methodUnacceptable {
		return fmt.Errorf("client insists on authentication: %w", ErrProtocol)
	}
	return nil
}

// WriteReply answers a request. The bound address, which few clients read, is
// given as 0.0.0.0:0, since connections by name have none.
func WriteReply(w io.Writer, reply Reply) error { return writeReply(w, reply, Request{}) }

// WriteAssociated answers [CommandAssociate]: relay is where the client sends
// its datagrams (RFC 1928 7).
func WriteAssociated(w io.Writer, relay netip.AddrPort) error {
	return writeReply(w, Succeeded, Request{IP: relay.Addr(), Port: relay.Port()})
}

func writeReply(w io.Writer, reply Reply, bound Request) error {
	_, err := w.Write(bound.appendAddress([]byte{Version, byte(reply), 0}))
	return err
}

// noEOF makes an end in the middle of a message an error for those who take
// io.EOF for an orderly end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
