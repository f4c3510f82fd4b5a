package bittorrent

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"unicode"
	"unicode/utf8"
)

// HandshakeID is the ExtendedID of a message that carries an
// [ExtendedHandshake].
const HandshakeID = 0

// An ExtendedHandshake is what a peer understands beyond the plain protocol (BEP
// 10). Numbers are those that the sender wants to see in messages to it; 0 is for
// what it does not understand.
type ExtendedHandshake struct {
	Metadata     uint8  // ut_metadata (BEP 9)
	Exchange     uint8  // ut_pex (BEP 11)
	MetadataSize int    // bytes of the info dictionary; 0 where it is not there
	Client       string // the program's name and version; "" where it does not say
	Port         uint16 // on which it listens; 0 where it does not say
	Queue        int    // requests that it takes without an answer; 0 where it does not say
	UploadOnly   bool   // BEP 21: it takes nothing
}

const maxClient = 64 // bytes of a program's name that are kept

// AppendExtendedHandshake appends the payload of a handshake to b.
func AppendExtendedHandshake(b []byte, h ExtendedHandshake) []byte {
	b = append(b, "d1:md"...)
	if h.Metadata != 0 {
		b = appendIntegerEntry(b, "ut_metadata", int64(h.Metadata))
	}
	if h.Exchange != 0 {
		b = appendIntegerEntry(b, "ut_pex", int64(h.Exchange))
	}
	b = append(b, 'e')
	if h.MetadataSize != 0 {
		b = appendIntegerEntry(b, "metadata_size", int64(h.MetadataSize))
	}
	if h.Port != 0 {
		b = appendIntegerEntry(b, "p", int64(h.Port))
	}
	if h.Queue != 0 {
		b = appendIntegerEntry(b, "reqq", int64(h.Queue))
	}
	if h.UploadOnly {
		b = appendIntegerEntry(b, "upload_only", 1)
	}
	if h.Client != "" {
		b = appendTextEntry(b, "v", h.Client)
	}
	return append(b, 'e')
}

// ParseExtendedHandshake reads the payload of a handshake. Keys that it does not
// know are passed over, and the program's name is cut to what can be shown.
func ParseExtendedHandshake(payload []byte) (h ExtendedHandshake, err error) {
	err = decode(payload, func(r *decoder) error {
		return r.dictionary(func(key []byte) (err error) {
			var n int64
			switch string(key) {
			case "m":
				err = h.parseMessages(r)
			case "metadata_size":
				n, err = r.within(0, math.MaxInt32)
				h.MetadataSize = int(n)
			case "p":
				n, err = r.within(0, math.MaxUint16)
				h.Port = uint16(n)
			case "reqq":
				n, err = r.within(0, math.MaxInt32)
				h.Queue = int(n)
			case "upload_only":
				n, err = r.integer()
				h.UploadOnly = n != 0
			case "v":
				var name []byte
				name, err = r.text()
				h.Client = shown(name)
			default:
				err = r.skip()
			}
			return at(key, err)
		})
	})
	return h, err
}

func (h *ExtendedHandshake) parseMessages(r *decoder) error {
	return r.dictionary(func(key []byte) error {
		switch string(key) {
		case "ut_metadata":
			n, err := r.within(0, math.MaxUint8)
			h.Metadata = uint8(n)
			return at(key, err)
		case "ut_pex":
			n, err := r.within(0, math.MaxUint8)
			h.Exchange = uint8(n)
			return at(key, err)
		default:
			return r.skip()
		}
	})
}

// shown is a name that a stranger gave, fit for a log or a screen.
func shown(name []byte) string {
	text := make([]rune, 0, maxClient)
	for len(name) > 0 && len(text) < maxClient {
		r, n := utf8.DecodeRune(name)
		name = name[n:]
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		text = append(text, r)
	}
	return string(text)
}

// Kinds of [Metadata].
const (
	MetadataRequest = 0
	MetadataData    = 1
	MetadataReject  = 2
)

// MetadataPiece is how many bytes of the info dictionary travel in one message;
// the last may be shorter.
const MetadataPiece = 16 << 10

// Metadata asks for a piece of the info dictionary, or brings it (BEP 9).
type Metadata struct {
	Kind  int
	Piece int
	Total int    // bytes of the info dictionary; MetadataData only
	Data  []byte // MetadataData only
}

// AppendMetadata appends the payload of a message to b.
func AppendMetadata(b []byte, m Metadata) []byte {
	b = appendIntegerEntry(append(b, 'd'), "msg_type", int64(m.Kind))
	b = appendIntegerEntry(b, "piece", int64(m.Piece))
	if m.Kind == MetadataData {
		b = appendIntegerEntry(b, "total_size", int64(m.Total))
	}
	return append(append(b, 'e'), m.Data...)
}

// ParseMetadata reads the payload of a message; Data is not copied. Kinds that are
// not listed are to be ignored.
func ParseMetadata(payload []byte) (m Metadata, err error) {
	r := &decoder{rest: payload}
	m.Kind, m.Piece = -1, -1
	err = r.dictionary(func(key []byte) (err error) {
		var n int64
		switch string(key) {
		case "msg_type":
			n, err = r.within(0, math.MaxInt32)
			m.Kind = int(n)
		case "piece":
			n, err = r.within(0, math.MaxInt32/MetadataPiece)
			m.Piece = int(n)
		case "total_size":
			n, err = r.within(0, math.MaxInt32)
			m.Total = int(n)
		default:
			err = r.skip()
		}
		return at(key, err)
	})
	switch {
	case err != nil:
		return Metadata{}, err
	case m.Kind < 0 || m.Piece < 0:
		return Metadata{}, fmt.Errorf("metadata message without a type or piece: %w", ErrInvalid)
	case m.Kind == MetadataData:
		m.Data = r.rest
	default:
		if err := r.end(); err != nil {
			return Metadata{}, err
		}
	}
	return m, nil
}

// MaxExchange is how many peers an [Exchange] brings at most, and as many that
// have left.
const MaxExchange = 200

// An Exchange tells of peers that the sender is connected to, and of those that
// it is not any more (BEP 11).
type Exchange struct {
	Added, Dropped []netip.AddrPort
}

// AppendExchange appends the payload of a message to b.
func AppendExchange(b []byte, x Exchange) []byte {
	added4, added6 := compact(x.Added)
	dropped4, dropped6 := compact(x.Dropped)
	b = appendTextEntry(append(b, 'd'), "added", added4)
	b = appendTextEntry(b, "added.f", make([]byte, len(added4)/compact4))
	if len(added6) > 0 {
		b = appendTextEntry(b, "added6", added6)
		b = appendTextEntry(b, "added6.f", make([]byte, len(added6)/compact6))
	}
	b = appendTextEntry(b, "dropped", dropped4)
	if len(dropped6) > 0 {
		b = appendTextEntry(b, "dropped6", dropped6)
	}
	return append(b, 'e')
}

// ParseExchange reads the payload of a message.
func ParseExchange(payload []byte) (x Exchange, err error) {
	err = decode(payload, func(r *decoder) error {
		return r.dictionary(func(key []byte) (err error) {
			switch string(key) {
			case "added":
				x.Added, err = readCompact(r, x.Added, compact4)
			case "added6":
				x.Added, err = readCompact(r, x.Added, compact6)
			case "dropped":
				x.Dropped, err = readCompact(r, x.Dropped, compact4)
			case "dropped6":
				x.Dropped, err = readCompact(r, x.Dropped, compact6)
			default:
				err = r.skip()
			}
			return at(key, err)
		})
	})
	if err != nil {
		return Exchange{}, err
	}
	return x, nil
}

// Sizes of an address and a port (BEP 23, 7).
const (
	compact4 = 4 + 2
	compact6 = 16 + 2
)

// compact writes addresses as BEP 23 has it, and those of IPv6 as BEP 7 has it.
func compact(peers []netip.AddrPort) (four, six []byte) {
	for _, peer := range peers {
		address := peer.Addr().Unmap()
		switch text := address.AsSlice(); {
		case address.Is4():
			four = binary.BigEndian.AppendUint16(append(four, text...), peer.Port())
		case address.Is6():
			six = binary.BigEndian.AppendUint16(append(six, text...), peer.Port())
		}
	}
	return four, six
}

// readCompact reads a string of addresses of size bytes each, behind others.
func readCompact(r *decoder, peers []netip.AddrPort, size int) ([]netip.AddrPort, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	if len(text)%size != 0 {
		return nil, fmt.Errorf("addresses in %d bytes: %w", len(text), ErrInvalid)
	}
	if len(peers)+len(text)/size > MaxExchange {
		return nil, fmt.Errorf("more than %d addresses: %w", MaxExchange, ErrInvalid)
	}
	for ; len(text) > 0; text = text[size:] {
		address, _ := netip.AddrFromSlice(text[:size-2])
		peers = append(peers, netip.AddrPortFrom(address, binary.BigEndian.Uint16(text[size-2:])))
	}
	return peers, nil
}
