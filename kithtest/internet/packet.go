package internet

import (
	"maps"
	"net/netip"
	"time"
)

// A Packet is what became of one packet, as [Net.Capture] shows it.
type Packet struct {
	Time     time.Duration // when it arrived or was dropped, since the Net was made
	Protocol Protocol
	Size     int // bytes, with the headers of IP and UDP or TCP
	From     *Host
	To       *Host // nil when it reached none

	Source, Destination netip.AddrPort // as it was sent
	// As it arrived or was dropped, after what routers made of it.
	TranslatedSource, TranslatedDestination netip.AddrPort

	Fate Fate
	SYN  bool // it asks for a TCP connection
}

// A Protocol is UDP or TCP.
type Protocol string

const (
	UDP Protocol = "udp"
	TCP Protocol = "tcp"
)

// A Fate is what became of a packet.
type Fate string

const (
	Delivered   Fate = "delivered"    // to a host, whether or not anybody listens there
	Lost        Fate = "lost"         // by a link
	NoRoute     Fate = "no route"     // nobody has the address
	NoMapping   Fate = "no mapping"   // a NAT knows nothing about the port
	Filtered    Fate = "filtered"     // a NAT knows the port, and the sender may not use it
	Blocked     Fate = "blocked"      // a firewall drops the protocol
	NoHairpin   Fate = "no hairpin"   // a NAT does not turn packets back inside
	Cut         Fate = "cut"          // by a partition
	Down        Fate = "down"         // the router reboots
	NotThere    Fate = "not there"    // the host sleeps, or is unplugged
	NotAccepted Fate = "not accepted" // the socket's queue is full
)

type packet struct {
	from, to *Host
	protocol Protocol
	size     int

	sentSource, sentDestination netip.AddrPort
	source, destination         netip.AddrPort

	payload []byte   // of UDP
	segment *segment // of TCP
}

// Headers, bytes.
const (
	udpHeaders = 20 + 8
	tcpHeaders = 20 + 20
)

// Capture has f called with every packet at its end, delivered or not. Packets
// that never leave their host are not shown. f is called with the Net locked: it
// must be quick, and must not call the Net, its routers, hosts or sockets.
func (n *Net) Capture(f func(Packet)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.captures = append(n.captures, f)
}

// Sent returns how many packets hosts have sent to each address, as they
// addressed them, whether or not they arrived.
func (n *Net) Sent() map[netip.AddrPort]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.sent)
}

// Traffic is what a host exchanged with others. Bytes include headers.
type Traffic struct {
	PacketsSent, PacketsReceived int
	BytesSent, BytesReceived     int64
}

// end shows what became of p.
func (n *Net) end(p *packet, fate Fate) {
	if len(n.captures) == 0 {
		return
	}
	shown := Packet{
		Time: n.now(), Protocol: p.protocol, Size: p.size, From: p.from, To: p.to,
		Source: p.sentSource, Destination: p.sentDestination,
		TranslatedSource: p.source, TranslatedDestination: p.destination,
		Fate: fate, SYN: p.asksToConnect(),
	}
	for _, f := range n.captures {
		f(shown)
	}
}

func (p *packet) asksToConnect() bool {
	return p.segment != nil && p.segment.syn && !p.segment.ack
}
