package config

import (
	"fmt"
	"maps"
	"strconv"

	"kith.alt/kith"
)

// AnyPort as a port base means a free port for every listener at every start,
// as tests need.
const AnyPort = -1

// OverlayPort is the UDP and TCP port that the overlay asks for.
const OverlayPort = 4747

// Offsets of the node's own listeners from the port base. Those of the
// applications are in their kith.Port.
const (
	Gateway    = 0  // dashboard and web gateway
	Proxy      = 1  // SOCKS5 and HTTP proxy
	BitTorrent = 17 // torrent clients
)

const (
	maxPort   = 1<<16 - 1
	minBase   = 1024
	maxOffset = 39
)

// services are the loopback listeners by their offset from the port base. The
// order is a contract: entries are appended, never moved. Offsets 20 to 39 are
// passive data ports of FTP and have no port of their own by default.
var services = [...]struct {
	name string
	port int
}{
	{"http", 8080}, {"proxy", 1080}, {"submission", 1587}, {"imap", 1143},
	{"pop3", 1110}, {"nntp", 1119}, {"xmpp", 5222}, {"ftp", 2121},
	{"ssh", 2222}, {"dns", 1053}, {"submissions", 1465}, {"imaps", 1993},
	{"pop3s", 1995}, {"nntps", 1563}, {"xmpps", 5223}, {"ftps", 1990},
	{"webdav", 8081}, {"bittorrent", 6881}, {"https", 8443},
}

// defaultPort returns the loopback port of the service at offset when no port
// base was asked for; 0 means any.
func defaultPort(offset int) int {
	if offset < 0 || offset >= len(services) {
		return 0
	}
	return services[offset].port
}

// serviceName is the key in Node.Ports of the service at offset.
func serviceName(offset int) string {
	if offset < 0 || offset >= len(services) {
		return "+" + strconv.Itoa(offset)
	}
	return services[offset].name
}

// CheckPortBase says why base cannot be a port base, or returns nil.
func CheckPortBase(base int) error {
	if base < minBase || base > maxPort-maxOffset {
		return fmt.Errorf("port base %d is not from %d to %d: %w", base, minBase, maxPort-maxOffset, kith.Invalid)
	}
	return nil
}

// Port returns the loopback port of the service at offset; 0 means any free
// one. When moves is true the port is only a default, and where it is taken
// the next free one serves as well. Otherwise it was asked for or has been
// used before, and people may have told their programs: a taken one is an
// error, and --port-base moves it.
func (n Node) Port(offset int) (port int, moves bool) {
	switch remembered, ok := n.Ports[serviceName(offset)]; {
	case n.PortBase == AnyPort:
		return 0, false
	case ok:
		return remembered, false
	case n.PortBase != 0:
		return n.PortBase + offset, false
	default:
		return defaultPort(offset), true
	}
}

// RememberPort makes port the one of the service at offset from now on. It
// does nothing under AnyPort.
func (n *Node) RememberPort(offset, port int) {
	if n.PortBase == AnyPort {
		return
	}
	n.Ports = maps.Clone(n.Ports)
	if n.Ports == nil {
		n.Ports = make(map[string]int)
	}
	n.Ports[serviceName(offset)] = port
}

// SetPortBase moves all loopback ports to base and forgets the remembered
// ones; 0 leaves everything as it is.
func (n *Node) SetPortBase(base int) {
	if base == 0 || base == n.PortBase {
		return
	}
	n.PortBase = base
	n.Ports = nil
}

// A Move is a service that does not have its default port, as that was taken.
type Move struct {
	Service  string
	From, To int
}

// Moved lists the services that moved from their default ports at their first
// start; none where a port base was asked for.
func (n Node) Moved() []Move {
	var list []Move
	for _, s := range services {
		if to, ok := n.Ports[s.name]; ok && to != s.port && n.PortBase == 0 {
			list = append(list, Move{s.name, s.port, to})
		}
	}
	return list
}
