package socks

import (
	"bytes"
	"errors"
	"fmt"
)

// AppendDatagram appends a datagram between a client and the server's relay:
// the far process, of which the command is not used, and the payload
// (RFC 1928 7). The name has at most 255 bytes.
func AppendDatagram(b []byte, far Request, payload []byte) []byte {
	return append(far.appendAddress(append(b, 0, 0, 0)), payload...)
}

// ParseDatagram reads what AppendDatagram appends. The payload is not copied.
// Fragments are an error, as RFC 1928 7 has it for those who do not put them
// together.
func ParseDatagram(b []byte) (far Request, payload []byte, err error) {
	if len(b) < 4 {
		return far, nil, fmt.Errorf("datagram of %d bytes: %w", len(b), ErrProtocol)
	}
	if b[2] != 0 {
		return far, nil, fmt.Errorf("fragment %d: %w", b[2], ErrProtocol)
	}
	r := bytes.NewReader(b[3:])
	if err := far.readAddress(r); err != nil {
		if errors.Is(err, AddressUnsupported) {
			err = fmt.Errorf("%w: %w", err, ErrProtocol)
		} else if !errors.Is(err, ErrProtocol) {
			err = fmt.Errorf("datagram ends in its address: %w", ErrProtocol)
		}
		return Request{}, nil, err
	}
	return far, b[len(b)-r.Len():], nil
}
