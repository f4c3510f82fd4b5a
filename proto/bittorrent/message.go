package bittorrent

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Type is what a message says.
type Type int16

// Types of messages.
const (
	KeepAlive Type = -1 // BEP 3: a message without a type

	Choke         Type = 0 // BEP 3
	Unchoke       Type = 1
	Interested    Type = 2
	NotInterested Type = 3
	Have          Type = 4 // Index
	Bitfield      Type = 5 // Payload: the highest bit is piece 0
	Request       Type = 6 // Index, Begin, Length
	Piece         Type = 7 // Index, Begin, Payload
	Cancel        Type = 8 // as Request

	Suggest     Type = 13 // BEP 6: Index
	HaveAll     Type = 14
	HaveNone    Type = 15
	Reject      Type = 16 // as Request
	AllowedFast Type = 17 // Index

	Extended Type = 20 // BEP 10: ExtendedID, Payload

	HashRequest Type = 21 // BEP 52: Root, BaseLayer, Index, HashLength, ProofLayers
	Hashes      Type = 22 // as HashRequest, and Hashes
	HashReject  Type = 23 // as HashRequest
)

// A Message is what a peer says after the handshake. Which fields count, its
// type tells; the payload of a type that is not listed is all that follows the type.
type Message struct {
	Type   Type
	Index  uint32 // piece; of messages about hashes, the first one's number in its layer
	Begin  uint32 // bytes from the beginning of the piece
	Length uint32 // bytes

	Root        [32]byte // of a file
	BaseLayer   uint32   // layers above the leaves
	HashLength  uint32   // hashes of the base layer
	ProofLayers uint32   // layers above the base, of each of which there is at most one hash
	Hashes      []byte   // 32 bytes each

	ExtendedID uint8
	Payload    []byte
}

// hashBody is the length of a HashRequest without its type.
const hashBody = 32 + 4*4

// firstRoom is how much room is made for a message before any of it is there.
const firstRoom = 64 << 10

// ReadMessage reads a message of at most limit bytes, its length not counted.
// Payload and Hashes are in *buffer, which grows as needed and is used again by
// the next call: a block is read without allocation. An error that is not one of
// the reader wraps [ErrInvalid]; io.EOF is returned between messages only.
func ReadMessage(r *bufio.Reader, buffer *[]byte, limit int) (Message, error) {
	head, err := r.Peek(4)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	r.Discard(4)
	if n == 0 {
		return Message{Type: KeepAlive}, nil
	}
	if n > int64(limit) {
		return Message{}, fmt.Errorf("message of %d bytes, at most %d: %w", n, limit, ErrInvalid)
	}
	body := (*buffer)[:0]
	for len(body) < int(n) { // room follows what arrives, not what was announced
		start := len(body)
		room := min(int(n), max(cap(body), firstRoom, 2*start))
		body = slices.Grow(body, room-start)[:room]
		*buffer = body
		if _, err := io.ReadFull(r, body[start:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Message{}, err
		}
	}
	return parseMessage(body)
}

// parseMessage reads a message of at least one byte, which is not copied.
func parseMessage(body []byte) (m Message, err error) {
	m.Type, body = Type(body[0]), body[1:]
	least, exact := bodyLength(m.Type)
	if len(body) < least || exact && len(body) > least {
		return Message{}, fmt.Errorf("message of type %d in %d bytes: %w", m.Type, len(body), ErrInvalid)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(body[i:]) }
	switch m.Type {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
	case Have, Suggest, AllowedFast:
		m.Index = word(0)
	case Request, Cancel, Reject:
		m.Index, m.Begin, m.Length = word(0), word(4), word(8)
	case Piece:
		m.Index, m.Begin, m.Payload = word(0), word(4), body[8:]
	case Extended:
		m.ExtendedID, m.Payload = body[0], body[1:]
	case HashRequest, Hashes, HashReject:
		m.Root = [32]byte(body)
		m.BaseLayer, m.Index, m.HashLength, m.ProofLayers = word(32), word(36), word(40), word(44)
		m.Hashes = body[hashBody:]
		if len(m.Hashes)%32 != 0 {
			return Message{}, fmt.Errorf("hashes in %d bytes: %w", len(m.Hashes), ErrInvalid)
		}
	default:
		m.Payload = body
	}
	return m, nil
}

// bodyLength is how long a message is without its type, at least or exactly.
func bodyLength(t Type) (least int, exact bool) {
	switch t {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		return 0, true
	case Have, Suggest, AllowedFast:
		return 4, true
	case Request, Cancel, Reject:
		return 12, true
	case Piece:
		return 8, false
	case Extended:
		return 1, false
	case HashRequest, HashReject:
		return hashBody, true
	case Hashes:
		return hashBody, false
	default:
		return 0, false
	}
}

// AppendMessage appends a message to b, its length first. Only the fields that
// its type has are looked at.
func AppendMessage(b []byte, m Message) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	if m.Type == KeepAlive {
		return b
	}
	b = append(b, byte(m.Type))
	word := binary.BigEndian.AppendUint32
	switch m.Type {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
	case Have, Suggest, AllowedFast:
		b = word(b, m.Index)
	case Request, Cancel, Reject:
		b = word(word(word(b, m.Index), m.Begin), m.Length)
	case Piece:
		b = append(word(word(b, m.Index), m.Begin), m.Payload...)
	case Extended:
		b = append(append(b, m.ExtendedID), m.Payload...)
	case HashRequest, Hashes, HashReject:
		b = append(b, m.Root[:]...)
		b = word(word(word(word(b, m.BaseLayer), m.Index), m.HashLength), m.ProofLayers)
		if m.Type == Hashes {
			b = append(b, m.Hashes...)
		}
	default:
		b = append(b, m.Payload...)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}
