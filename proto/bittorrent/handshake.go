package bittorrent

import (
	"errors"
	"fmt"
	"io"
)

// A Handshake is the first that each side of a connection says (BEP 3). Flags are
// bits of its reserved bytes.
type Handshake struct {
	Extended bool // BEP 10
	Fast     bool // BEP 6
	V2       bool // BEP 52: has the content in version 2, too
	InfoHash [20]byte
	PeerID   [20]byte
}

// Protocol is what a handshake begins with.
const Protocol = "\x13BitTorrent protocol"

// HandshakeSize is how many bytes a handshake has.
const HandshakeSize = len(Protocol) + 8 + 20 + 20

// Flags in the reserved bytes.
const (
	extendedByte, extendedBit = 5, 0x10
	fastByte, fastBit         = 7, 0x04
	v2Byte, v2Bit             = 7, 0x10
)

// AppendHandshake appends a handshake to b.
func AppendHandshake(b []byte, h Handshake) []byte {
	b = append(b, Protocol...)
	var reserved [8]byte
	if h.Extended {
		reserved[extendedByte] |= extendedBit
	}
	if h.Fast {
		reserved[fastByte] |= fastBit
	}
	if h.V2 {
		reserved[v2Byte] |= v2Bit
	}
	b = append(b, reserved[:]...)
	b = append(b, h.InfoHash[:]...)
	return append(b, h.PeerID[:]...)
}

// ReadHandshake reads a handshake and nothing beyond it. Its error wraps
// [ErrInvalid] where it is something else, and is the reader's otherwise.
func ReadHandshake(r io.Reader) (h Handshake, err error) {
	var b [HandshakeSize]byte
	// What is no handshake may be shorter than one.
	for start, end := 0, len(Protocol); start < len(b); start, end = end, len(b) {
		if _, err := io.ReadFull(r, b[start:end]); err != nil {
			if errors.Is(err, io.EOF) && start > 0 {
				err = io.ErrUnexpectedEOF
			}
			return h, err
		}
		if string(b[:len(Protocol)]) != Protocol {
			return h, fmt.Errorf("begins with %.20q, not as BitTorrent does: %w", b[:len(Protocol)], ErrInvalid)
		}
	}
	reserved, rest := b[len(Protocol):], b[len(Protocol)+8:]
	h.Extended = reserved[extendedByte]&extendedBit != 0
	h.Fast = reserved[fastByte]&fastBit != 0
	h.V2 = reserved[v2Byte]&v2Bit != 0
	copy(h.InfoHash[:], rest)
	copy(h.PeerID[:], rest[20:])
	return h, nil
}
