package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"kith.alt/kith"
)

// Relay bounds what the host relays for other members. Zero values are the
// defaults.
type Relay struct {
	Off            bool  `json:"off"`
	BytesPerSecond int64 `json:"bytes_per_second"`
	BytesPerDay    int64 `json:"bytes_per_day"`
	Streams        int   `json:"streams"`
}

// A Duration is a length of time, stored as people write it: "90s", "24h0m0s".
type Duration time.Duration

// MarshalText writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// The bounds of SuspendFor.
const (
	MinSuspendFor = time.Second
	MaxSuspendFor = 30 * 24 * time.Hour
)

const (
	maxPublic   = 4
	maxDHTNodes = 32
)

// checkReach checks what concerns how the host is reached.
func (n Node) checkReach() error {
	if len(n.Public) > maxPublic {
		return fmt.Errorf("%d public addresses, at most %d: %w", len(n.Public), maxPublic, kith.Invalid)
	}
	for _, text := range n.Public {
		if _, err := ParsePublic(text, 0); err != nil {
			return err
		}
	}
	if len(n.DHTNodes) > maxDHTNodes {
		return fmt.Errorf("%d nodes of the DHT, at most %d: %w", len(n.DHTNodes), maxDHTNodes, kith.Invalid)
	}
	for _, text := range n.DHTNodes {
		if err := CheckDHTNode(text); err != nil {
			return err
		}
	}
	if n.SuspendFor != 0 {
		if err := CheckSuspendFor(time.Duration(n.SuspendFor)); err != nil {
			return err
		}
	}
	if r := n.Relay; r.BytesPerSecond < 0 || r.BytesPerDay < 0 || r.Streams < 0 {
		return fmt.Errorf("a limit of what is relayed is negative: %w", kith.Invalid)
	}
	return nil
}

// ParsePublic reads an address at which a router passes on what comes for the
// overlay: IP, or IP:PORT where the port outside is not that of the overlay,
// which is port.
func ParsePublic(text string, port uint16) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		ip, ipErr := netip.ParseAddr(text)
		if ipErr != nil {
			return at, fmt.Errorf("public address %q is not an IP address, with :PORT or without: %w", text, kith.Invalid)
		}
		at = netip.AddrPortFrom(ip, port)
	} else if at.Port() == 0 {
		return at, fmt.Errorf("public address %q has port 0: %w", text, kith.Invalid)
	}
	at = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	if !at.Addr().IsGlobalUnicast() {
		return at, fmt.Errorf("nobody outside can dial %s: %w", at.Addr(), kith.Invalid)
	}
	return at, nil
}

// PublicAddresses are the public addresses, where port is the overlay's own.
// Those that cannot be known while it has none are left out.
func (n Node) PublicAddresses(port uint16) []netip.AddrPort {
	var list []netip.AddrPort
	for _, text := range n.Public {
		if at, err := ParsePublic(text, port); err == nil && at.Port() != 0 && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// CheckDHTNode checks HOST:PORT.
func CheckDHTNode(text string) error {
	host, port, err := net.SplitHostPort(text)
	if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || number == 0 {
		return fmt.Errorf("node of the DHT %q is not HOST:PORT: %w", text, kith.Invalid)
	}
	return nil
}

// CheckSuspendFor checks how long sockets are to wait for a path.
func CheckSuspendFor(d time.Duration) error {
	if d < MinSuspendFor || d > MaxSuspendFor {
		return fmt.Errorf("sockets wait for a path from %s to %s, not %s: %w", MinSuspendFor, MaxSuspendFor, d, kith.Invalid)
	}
	return nil
}
