package internet

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Config says how a [Net] is made. The zero value of a field is its default.
type Config struct {
	Seed     uint64        // of everything random
	Delay    time.Duration // one way, of a link to the public Internet; 10 ms
	LANDelay time.Duration // one way, of a link to a router of one's own; 1 ms
	Loss     float64       // probability that a link to the public Internet loses a packet; 0
}

// A Net is an Internet. It needs no closing: it has no goroutines and no
// resources but memory. It is safe for concurrent use.
type Net struct {
	config Config

	mu       sync.Mutex
	clock    clock
	public   *Router
	carrier  *Router // of SameCarrier; nil before the first
	sources  uint64  // of randomness that were made
	routers  int     // with private addresses that were made
	blocks   int     // of public addresses that were given to routers without NAT
	cuts     map[[2]*Host]bool
	captures []func(Packet)
	sent     map[netip.AddrPort]int
}

// New returns an Internet without hosts.
func New(config Config) *Net {
	if config.Delay == 0 {
		config.Delay = 10 * time.Millisecond
	}
	if config.LANDelay == 0 {
		config.LANDelay = time.Millisecond
	}
	n := &Net{config: config, cuts: map[[2]*Host]bool{}, sent: map[netip.AddrPort]int{}}
	n.clock.start = time.Now()
	n.public = &Router{net: n, kind: None, nodes: map[netip.Addr]node{}, leases: map[node]netip.Addr{}}
	return n
}

// Public returns the public Internet itself, as the router that hosts with
// public addresses are on.
func (n *Net) Public() *Router { return n.public }

// Router adds a router of a kind to the public Internet. For a kind with two
// layers of NAT it adds both routers and returns the inner one.
func (n *Net) Router(kind NAT) *Router { return n.public.Router(kind) }

// Partition cuts hosts a off from hosts b: packets between the two groups are
// dropped, however they were addressed. Partitions add up until [Net.Heal].
func (n *Net) Partition(a, b []*Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range a {
		for _, y := range b {
			n.cuts[[2]*Host{x, y}] = true
			n.cuts[[2]*Host{y, x}] = true
		}
	}
}

// Heal ends all partitions.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
}

// random returns a new source of randomness.
func (n *Net) random() *rand.Rand {
	n.sources++
	return rand.New(rand.NewPCG(n.config.Seed, n.sources))
}

// Addresses: what documentation may use (RFC 5737), and then what benchmarks
// may (RFC 2544), stand for the public Internet, since programs take neither for
// private.
var (
	publicPrefixes = []netip.Prefix{
		netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("198.18.0.0/16"),
	}
	publicBlocks  = netip.MustParsePrefix("198.19.0.0/16") // /28 for routers without NAT
	carrierInside = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
)

// nextPublic returns the public address after last, which is invalid at first.
func nextPublic(last netip.Addr) netip.Addr {
	for i, prefix := range publicPrefixes {
		switch {
		case !last.IsValid():
			return prefix.Addr().Next()
		case !prefix.Contains(last):
		case prefix.Contains(last.Next().Next()): // without the broadcast address
			return last.Next()
		case i+1 < len(publicPrefixes):
			return publicPrefixes[i+1].Addr().Next()
		}
	}
	panic("internet: out of public addresses")
}

// insidePrefix returns the prefix of a new router's own network.
func (n *Net) insidePrefix(kind NAT, outer *Router) netip.Prefix {
	if kind == None && outer == n.public {
		n.blocks++
		b := publicBlocks.Addr().As4()
		b[2], b[3] = byte(n.blocks>>4), byte(n.blocks<<4)
		return netip.PrefixFrom(netip.AddrFrom4(b), 28)
	}
	n.routers++
	if n.routers < 255 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(n.routers), 0}), 24)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n.routers >> 8), byte(n.routers), 0}), 24)
}
