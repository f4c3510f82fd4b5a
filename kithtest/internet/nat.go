package internet

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// A NAT is a kind of router, or of two of them. docs/nat.md describes the kinds
// in the same words.
type NAT string

const (
	// None gives hosts public addresses and filters nothing.
	None NAT = "none"

	// FullCone, AddressRestricted and PortRestricted map an inside address and
	// port to one outside port, the same number where it is free, whatever the
	// destination (endpoint-independent mapping, RFC 4787 4.1), and let in,
	// while the mapping lives, everybody, addresses that were sent to, or
	// addresses and ports that were sent to (RFC 4787 5).
	FullCone          NAT = "full cone"
	AddressRestricted NAT = "address-restricted"
	PortRestricted    NAT = "port-restricted"

	// Symmetric maps to another, random port for each destination (address and
	// port-dependent mapping), and lets in that destination only.
	Symmetric NAT = "symmetric"

	// Double is a port-restricted router behind another.
	Double NAT = "double"

	// CarrierGrade is a port-restricted router at home whose outside address is
	// one of 100.64.0.0/10, behind the port-restricted NAT of a carrier; each
	// has a carrier of its own. SameCarrier is the same with one carrier, which
	// does not hairpin, for all of a Net.
	CarrierGrade NAT = "carrier-grade"
	SameCarrier  NAT = "same carrier"

	// UDPBlocked is a port-restricted router that drops all UDP between inside
	// and outside.
	UDPBlocked NAT = "UDP blocked"
)

// Kinds returns all kinds, in the order of the table in docs/nat.md.
func Kinds() []NAT {
	return []NAT{
		None, FullCone, AddressRestricted, PortRestricted, Symmetric, Double, CarrierGrade, SameCarrier, UDPBlocked,
	}
}

// How long a mapping lives without packets.
const (
	udpLifetime = 120 * time.Second // RFC 4787 4.3
	tcpLifetime = 2 * time.Hour     // RFC 5382 5 asks for 4 minutes more, which few give
)

// A translator is the NAT of one router.
type translator struct {
	kind        NAT
	random      *rand.Rand
	udpLifetime time.Duration
	inside      map[insideKey]*mapping
	outside     map[outsideKey]*mapping
	forwards    map[uint16]netip.AddrPort // from outside port to inside
}

type insideKey struct {
	protocol Protocol
	inside   netip.AddrPort
	remote   netip.AddrPort // of a symmetric NAT only
}

type outsideKey struct {
	protocol Protocol
	port     uint16
}

// A mapping gives an inside address and port an outside port.
type mapping struct {
	key  insideKey
	port uint16
	used time.Duration // when a packet passed last

	remotes   map[netip.AddrPort]time.Duration // sent to, and when a packet passed last
	addresses map[netip.Addr]time.Duration
}

func newTranslator(kind NAT, random *rand.Rand) *translator {
	t := &translator{kind: kind, random: random, udpLifetime: udpLifetime, forwards: map[uint16]netip.AddrPort{}}
	t.forget()
	return t
}

func (t *translator) forget() {
	t.inside = map[insideKey]*mapping{}
	t.outside = map[outsideKey]*mapping{}
}

func (t *translator) lifetime(protocol Protocol) time.Duration {
	if protocol == TCP {
		return tcpLifetime
	}
	return t.udpLifetime
}

// out returns the outside port of a packet that leaves.
func (t *translator) out(p *packet, now time.Duration) (uint16, Fate) {
	if t.kind == UDPBlocked && p.protocol == UDP {
		return 0, Blocked
	}
	key := insideKey{protocol: p.protocol, inside: p.source}
	for port, inside := range t.forwards {
		if inside == p.source {
			return port, Delivered
		}
	}
	if t.kind == Symmetric {
		key.remote = p.destination
	}
	m := t.live(t.inside[key], now)
	if m == nil {
		m = t.bind(key, now)
	}
	if m == nil {
		return 0, NoMapping
	}
	m.used = now
	m.remotes[p.destination] = now
	m.addresses[p.destination.Addr()] = now
	return m.port, Delivered
}

// in returns where inside a packet that arrives goes.
func (t *translator) in(p *packet, now time.Duration) (netip.AddrPort, Fate) {
	if t.kind == UDPBlocked && p.protocol == UDP {
		return netip.AddrPort{}, Blocked
	}
	if inside, ok := t.forwards[p.destination.Port()]; ok {
		return inside, Delivered
	}
	m := t.live(t.outside[outsideKey{p.protocol, p.destination.Port()}], now)
	if m == nil {
		return netip.AddrPort{}, NoMapping
	}
	if !t.admits(m, p, now) {
		return netip.AddrPort{}, Filtered
	}
	m.used = now
	if _, ok := m.remotes[p.source]; ok {
		m.remotes[p.source] = now
	}
	if _, ok := m.addresses[p.source.Addr()]; ok {
		m.addresses[p.source.Addr()] = now
	}
	return m.key.inside, Delivered
}

// admits is the filter. TCP begins inside.
func (t *translator) admits(m *mapping, p *packet, now time.Duration) bool {
	if p.asksToConnect() {
		return false
	}
	lifetime := t.lifetime(p.protocol)
	if p.protocol == UDP {
		switch t.kind {
		case FullCone:
			return true
		case AddressRestricted:
			at, ok := m.addresses[p.source.Addr()]
			return ok && now-at < lifetime
		}
	}
	at, ok := m.remotes[p.source]
	return ok && now-at < lifetime
}

// live returns m unless it has expired, when it is removed.
func (t *translator) live(m *mapping, now time.Duration) *mapping {
	if m != nil && now-m.used >= t.lifetime(m.key.protocol) {
		delete(t.inside, m.key)
		delete(t.outside, outsideKey{m.key.protocol, m.port})
		return nil
	}
	return m
}

// bind makes a mapping: to the same port if it is free and the NAT is not a
// symmetric one. It returns nil when all ports are taken.
func (t *translator) bind(key insideKey, now time.Duration) *mapping {
	const lowest, ports = 1024, 65536 - 1024
	port := key.inside.Port()
	if t.kind == Symmetric || !t.free(key.protocol, port, now) {
		first := t.random.IntN(ports)
		for i := 0; ; i++ {
			if i == ports {
				return nil
			}
			port = uint16(lowest + (first+i)%ports)
			if t.free(key.protocol, port, now) {
				break
			}
		}
	}
	m := &mapping{
		key: key, port: port,
		remotes: map[netip.AddrPort]time.Duration{}, addresses: map[netip.Addr]time.Duration{},
	}
	t.inside[key] = m
	t.outside[outsideKey{key.protocol, port}] = m
	return m
}

func (t *translator) free(protocol Protocol, port uint16, now time.Duration) bool {
	_, forwarded := t.forwards[port]
	return !forwarded && t.live(t.outside[outsideKey{protocol, port}], now) == nil
}
