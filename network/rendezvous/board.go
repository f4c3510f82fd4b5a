package rendezvous

import (
	"cmp"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"kith.alt/kith"
)

// What a place holds is a board: the entries of the hosts that were there last.
// Sealed it always has the same length, the most that BEP 44 allows: 1,000 bytes
// with the bencoded length in front.
//
//	version 1 | number of entries | entries | zeros
//	entry:    ID (32) | milliseconds of its clock (8) | number of addresses | addresses
//	address:  4 or 6  | IP (4 or 16) | port (2)
const (
	boardVersion = 1
	boardEntries = 5
	maxAddresses = 8

	itemSize   = 1000
	sealedSize = itemSize - len(itemPrefix)
	itemPrefix = "996:"
	plainSize  = sealedSize - 12 - 16 // without nonce and tag of AES-GCM

	entryHead = len(kith.ID{}) + 8 + 1

	maxTime = 1 << 50 // in the year 37648: a later time still fits
)

var errBoard = errors.New("not a board")

// An entry says where a host was, by its own clock. Of two of one host the
// later counts.
type entry struct {
	id        kith.ID
	time      int64 // Unix milliseconds
	addresses []netip.AddrPort
}

// A board has an entry per host, the latest first.
type board []entry

// merge returns the latest entry of every host, the latest hosts first, no more
// than fit. It depends neither on order nor on repetition, so that hosts that
// write over each other's boards end with the same one.
func merge(boards ...board) board {
	latest := map[kith.ID]entry{}
	for _, b := range boards {
		for _, e := range b {
			if old, ok := latest[e.id]; !ok || compare(e, old) < 0 {
				latest[e.id] = e
			}
		}
	}
	merged := make(board, 0, len(latest))
	for _, e := range latest {
		merged = append(merged, e)
	}
	slices.SortFunc(merged, compare)
	return merged[:min(len(merged), boardEntries)]
}

// compare sorts later entries before earlier ones, and all others somehow.
func compare(a, b entry) int {
	return cmp.Or(cmp.Compare(b.time, a.time), slices.Compare(a.id[:], b.id[:]),
		slices.CompareFunc(a.addresses, b.addresses, netip.AddrPort.Compare))
}

// of returns the entry of id; the zero entry when there is none.
func (b board) of(id kith.ID) entry {
	for _, e := range b {
		if e.id == id {
			return e
		}
	}
	return entry{}
}

func (b board) equal(other board) bool {
	return slices.EqualFunc(b, other, func(x, y entry) bool { return compare(x, y) == 0 })
}

// marshal returns plainSize bytes. The board has boardEntries at most, each with
// maxAddresses at most.
func (b board) marshal() []byte {
	plain := make([]byte, 0, plainSize)
	plain = append(plain, boardVersion, byte(len(b)))
	for _, e := range b {
		plain = append(plain, e.id[:]...)
		plain = binary.BigEndian.AppendUint64(plain, uint64(e.time))
		plain = append(plain, byte(len(e.addresses)))
		for _, a := range e.addresses {
			if a.Addr().Is4() {
				plain = append(plain, 4)
			} else {
				plain = append(plain, 6)
			}
			plain = append(plain, a.Addr().AsSlice()...)
			plain = binary.BigEndian.AppendUint16(plain, a.Port())
		}
	}
	return plain[:plainSize]
}

// parseBoard reads what marshal writes, from anybody who knows the secret.
func parseBoard(plain []byte) (board, error) {
	if len(plain) != plainSize || plain[0] != boardVersion || plain[1] > boardEntries {
		return nil, errBoard
	}
	b, rest := make(board, 0, plain[1]), plain[2:]
	for range plain[1] {
		if len(rest) < entryHead {
			return nil, errBoard
		}
		e := entry{
			id:   kith.ID(rest[:len(kith.ID{})]),
			time: int64(binary.BigEndian.Uint64(rest[len(kith.ID{}):])),
		}
		number := rest[entryHead-1]
		if e.id.IsZero() || e.time < 0 || e.time > maxTime || number > maxAddresses {
			return nil, errBoard
		}
		rest = rest[entryHead:]
		for range number {
			a, after, err := parseAddress(rest)
			if err != nil {
				return nil, err
			}
			e.addresses, rest = append(e.addresses, a), after
		}
		b = append(b, e)
	}
	for _, x := range rest {
		if x != 0 {
			return nil, errBoard
		}
	}
	if !b.equal(merge(b)) {
		return nil, errBoard
	}
	return b, nil
}

func parseAddress(b []byte) (a netip.AddrPort, rest []byte, err error) {
	size := 4
	switch {
	case len(b) == 0 || b[0] != 4 && b[0] != 6:
		return a, nil, errBoard
	case b[0] == 6:
		size = 16
	}
	if len(b) < 1+size+2 {
		return a, nil, errBoard
	}
	ip, _ := netip.AddrFromSlice(b[1 : 1+size])
	a = netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[1+size:]))
	if !dialable(a) {
		return a, nil, errBoard
	}
	return a, b[1+size+2:], nil
}

// dialable reports whether a can be the address of one host, in its shortest form.
func dialable(a netip.AddrPort) bool {
	ip := a.Addr()
	return a.Port() != 0 && ip.IsValid() && !ip.Is4In6() && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast() &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// published returns what of addresses goes on a board: the first eight that
// mean something to somebody else.
func published(addresses []netip.AddrPort) []netip.AddrPort {
	var list []netip.AddrPort
	for _, a := range addresses {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if dialable(a) && !slices.Contains(list, a) && len(list) < maxAddresses {
			list = append(list, a)
		}
	}
	return list
}

// write seals a board for the place; the result has sealedSize bytes.
func (p *place) write(b board) []byte { return p.seal.Seal(nil, nil, b.marshal(), p.public[:]) }

// read opens what write has sealed.
func (p *place) read(sealed []byte) (board, error) {
	if len(sealed) != sealedSize {
		return nil, errBoard
	}
	plain, err := p.seal.Open(nil, nil, sealed, p.public[:])
	if err != nil {
		return nil, err
	}
	return parseBoard(plain)
}
