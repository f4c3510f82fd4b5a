package overlay

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"kith.alt/kith"
)

// A header begins every stream, sent by whoever opens it:
//
//	version (1) | kind (1) | flags (1) | length (2) | body
//
// The body depends on the kind; what a newer version adds to its end is
// skipped, and so are unknown flags. An unknown kind is refused.
type header struct {
	kind    kindOfStream
	program bool // a local program dials, not the node itself

	port       uint16           // of a socket
	socket     socketID         // of a socket, or of one that is resumed
	suspend    time.Duration    // of a socket, in whole seconds
	position   position         // of a socket that is resumed
	host       kith.ID          // to relay to, or relayed for
	candidates []netip.AddrPort // where the sender, or host, may be dialled by UDP
}

type kindOfStream byte

// What a stream is for, its body, and the answer. A verdict that does not
// accept is followed by a length (1) and a reason.
const (
	forSocket    kindOfStream = 1 // port (2), socket (16), seconds that it may be suspended (4); verdict
	forResuming  kindOfStream = 2 // socket (16), generation (4), position (8), instances of dialler and acceptor (8 each); verdict, position (8); then 1 (1)
	forGoodbye   kindOfStream = 3 // the sender's host leaves: end the carrier when you have read to the end
	forControl   kindOfStream = 4 // the sender's notices follow
	forRelaying  kindOfStream = 5 // host (32), candidates: relay to the host; verdict, then the host's bytes
	forRelayed   kindOfStream = 6 // host (32), candidates: a carrier from the host follows
	forPunching  kindOfStream = 7 // candidates; candidates
	forPing      kindOfStream = 8 // candidates: none; candidates: where the receiver sees the sender
	forDatagrams kindOfStream = 9 // the sender's datagrams follow

	headerVersion = 3 // 2 had flags for kinds
	headerSize    = 5
	maxHeaderBody = 512

	flagProgram = 1 << 0
)

// A socketID names a socket between two hosts. Its dialler makes it, at random.
type socketID [16]byte

// A position is where a dialler resumes a socket.
type position struct {
	generation        uint32
	received          uint64
	dialler, acceptor instance
}

const (
	socketSize = 2 + 16 + 4
	resumeSize = 16 + 4 + 8 + 8 + 8
)

func (h header) append(b []byte) []byte {
	flags := byte(0)
	if h.program {
		flags |= flagProgram
	}
	var body []byte
	switch h.kind {
	case forSocket:
		body = binary.BigEndian.AppendUint16(body, h.port)
		body = append(body, h.socket[:]...)
		body = binary.BigEndian.AppendUint32(body, uint32(h.suspend/time.Second))
	case forResuming:
		body = append(body, h.socket[:]...)
		body = binary.BigEndian.AppendUint32(body, h.position.generation)
		body = binary.BigEndian.AppendUint64(body, h.position.received)
		body = append(append(body, h.position.dialler[:]...), h.position.acceptor[:]...)
	case forRelaying, forRelayed:
		body = appendAddresses(append(body, h.host[:]...), h.candidates)
	case forPunching, forPing:
		body = appendAddresses(body, h.candidates)
	}
	b = binary.BigEndian.AppendUint16(append(b, headerVersion, byte(h.kind), flags), uint16(len(body)))
	return append(b, body...)
}

func readHeader(r io.Reader) (header, error) {
	var b [headerSize + maxHeaderBody]byte
	if _, err := io.ReadFull(r, b[:headerSize]); err != nil {
		return header{}, fmt.Errorf("read stream header: %w", err)
	}
	if b[0] != headerVersion {
		return header{}, fmt.Errorf("stream header has version %d, want %d: %w", b[0], headerVersion, kith.Invalid)
	}
	h := header{kind: kindOfStream(b[1]), program: b[2]&flagProgram != 0}
	size := int(binary.BigEndian.Uint16(b[3:]))
	if size > maxHeaderBody {
		return header{}, fmt.Errorf("stream header has %d bytes, at most %d: %w", size, maxHeaderBody, kith.Invalid)
	}
	body := b[headerSize : headerSize+size]
	if _, err := io.ReadFull(r, body); err != nil {
		return header{}, fmt.Errorf("read stream header: %w", err)
	}
	return h, h.parse(body)
}

func (h *header) parse(body []byte) (err error) {
	least := map[kindOfStream]int{forSocket: socketSize, forResuming: resumeSize, forRelaying: 33, forRelayed: 33, forPunching: 1, forPing: 1}[h.kind]
	if len(body) < least {
		return fmt.Errorf("stream header ends early: %w", kith.Invalid)
	}
	switch h.kind {
	case forSocket:
		h.port = binary.BigEndian.Uint16(body)
		h.socket = socketID(body[2:18])
		h.suspend = time.Duration(binary.BigEndian.Uint32(body[18:])) * time.Second
		if h.port == 0 {
			return fmt.Errorf("stream header names port 0: %w", kith.Invalid)
		}
	case forResuming:
		h.socket = socketID(body[:16])
		h.position = position{
			generation: binary.BigEndian.Uint32(body[16:]), received: binary.BigEndian.Uint64(body[20:]),
			dialler: instance(body[28:36]), acceptor: instance(body[36:44]),
		}
	case forRelaying, forRelayed:
		h.host = kith.ID(body[:32])
		h.candidates, err = parseAddresses(body[32:])
	case forPunching, forPing:
		h.candidates, err = parseAddresses(body)
	case forGoodbye, forControl, forDatagrams:
	default:
		return fmt.Errorf("stream of unknown kind %d: %w", h.kind, kith.Invalid)
	}
	return err
}

// appendAddresses writes at most maxAddresses of list: a count (1), then for
// each its size (4 or 16), address and port (2).
func appendAddresses(b []byte, list []netip.AddrPort) []byte {
	at := len(b)
	b = append(b, 0)
	for _, a := range list {
		a = unmapped(a)
		if ip := a.Addr().WithZone(""); ip.IsValid() && b[at] < maxAddresses {
			b = append(b, byte(ip.BitLen()/8))
			b = binary.BigEndian.AppendUint16(append(b, ip.AsSlice()...), a.Port())
			b[at]++
		}
	}
	return b
}

func parseAddresses(b []byte) ([]netip.AddrPort, error) {
	count := int(b[0])
	if count > maxAddresses {
		return nil, fmt.Errorf("%d addresses, at most %d: %w", count, maxAddresses, kith.Invalid)
	}
	var list []netip.AddrPort
	for b = b[1:]; count > 0; count-- {
		if len(b) < 1 || b[0] != 4 && b[0] != 16 || len(b) < 1+int(b[0])+2 {
			return nil, fmt.Errorf("address that cannot be read: %w", kith.Invalid)
		}
		ip, _ := netip.AddrFromSlice(b[1 : 1+b[0]])
		list = append(list, unmapped(netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[1+b[0]:]))))
		b = b[1+b[0]+2:]
	}
	return list, nil
}
