package pcp

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"
)

// Port is the UDP port on which routers answer (RFC 6887 19.1).
const Port = 5351

// The first byte of every packet.
const (
	VersionNATPMP = 0
	VersionPCP    = 2
)

// What a mapping passes on, by its IANA protocol number.
const (
	TCP = 6
	UDP = 17
)

// Opcodes. Those of NAT-PMP are 0 for the outside address, 1 for UDP and 2 for TCP.
const (
	opAddress = 0
	opMap     = 1 // PCP
	opMapUDP  = 1 // NAT-PMP
	opMapTCP  = 2 // NAT-PMP
	response  = 0x80
)

const (
	headerSize = 24 // of PCP, in both directions
	mapSize    = 36 // what follows the header when the opcode is MAP
)

// A Nonce names a host's mappings: who knows it may renew and delete them
// (RFC 6887 11.2). NAT-PMP has none.
type Nonce [12]byte

// A Request asks for a mapping of a port of the host that sends it.
type Request struct {
	Protocol byte           // TCP or UDP
	Internal uint16         // the host's port, not 0
	External netip.AddrPort // wished for, or to be kept; zero leaves it to the router; NAT-PMP wishes for the port alone
	Lifetime time.Duration  // in whole seconds; 0 deletes the mapping

	// PCP alone:
	Client netip.Addr // the address that the packet is sent from
	Nonce  Nonce
}

// PCP returns the request as a packet of PCP (RFC 6887 7.1, 11.1).
func (r Request) PCP() []byte {
	p := make([]byte, headerSize+mapSize)
	p[0], p[1] = VersionPCP, opMap
	binary.BigEndian.PutUint32(p[4:], seconds(r.Lifetime))
	putAddress(p[8:], r.Client)
	m := p[headerSize:]
	copy(m, r.Nonce[:])
	m[12] = r.Protocol
	binary.BigEndian.PutUint16(m[16:], r.Internal)
	binary.BigEndian.PutUint16(m[18:], r.External.Port())
	switch external := r.External.Addr(); {
	case external.IsValid():
		putAddress(m[20:], external)
	case r.Client.Unmap().Is4(): // any address of this family
		putAddress(m[20:], netip.IPv4Unspecified())
	}
	return p
}

// NATPMP returns the request as a packet of NAT-PMP (RFC 6886 3.3). To delete a
// mapping it wishes for no port, as the standard demands.
func (r Request) NATPMP() []byte {
	p := make([]byte, 12)
	p[0], p[1] = VersionNATPMP, opMapUDP
	if r.Protocol == TCP {
		p[1] = opMapTCP
	}
	binary.BigEndian.PutUint16(p[4:], r.Internal)
	if r.Lifetime > 0 {
		binary.BigEndian.PutUint16(p[6:], r.External.Port())
	}
	binary.BigEndian.PutUint32(p[8:], seconds(r.Lifetime))
	return p
}

// AddressRequest returns the packet of NAT-PMP that asks for the router's
// outside address (RFC 6886 3.2).
func AddressRequest() []byte { return []byte{VersionNATPMP, opAddress} }

func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), math.MaxUint32))
}

// putAddress writes 16 bytes; an IPv4 address is mapped into IPv6 (RFC 6887 5).
func putAddress(p []byte, a netip.Addr) {
	b := a.As16()
	copy(p, b[:])
}
