package mesh

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// addrs reads addresses separated by spaces.
func addrs(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for _, a := range strings.Fields(text) {
		list = append(list, netip.MustParseAddrPort(a))
	}
	return list
}

// nets reads addresses with the prefixes of their networks.
func nets(text string) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range strings.Fields(text) {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func TestOwnAddresses(t *testing.T) {
	for _, c := range []struct {
		name, bound, prefixes, forwarded, outside, want string
	}{
		{name: "alone", prefixes: "127.0.0.1/8 ::1/128", want: "127.0.0.1:4747 [::1]:4747"},
		{name: "behind a router", prefixes: "127.0.0.1/8 192.168.1.20/24 fe80::1/64", outside: "203.0.113.9:50001",
			want: "203.0.113.9:50001 192.168.1.20:4747"},
		{name: "not seen yet", prefixes: "127.0.0.1/8 192.168.1.20/24", want: "192.168.1.20:4747"},
		{name: "carrier-grade NAT", prefixes: "127.0.0.1/8 100.70.0.3/10", want: "100.70.0.3:4747"},
		{name: "a server", prefixes: "127.0.0.1/8 198.51.100.7/24 2001:db8::7/64 10.0.0.7/8", outside: "198.51.100.7:4747",
			want: "198.51.100.7:4747 [2001:db8::7]:4747 10.0.0.7:4747"},
		{name: "mapped form", prefixes: "::ffff:198.51.100.7/120", want: "198.51.100.7:4747"},
		{name: "forwarded", prefixes: "192.168.1.20/24", forwarded: "203.0.113.9:4747", outside: "203.0.113.9:4747",
			want: "203.0.113.9:4747 192.168.1.20:4747"},
		{name: "symmetric NAT", prefixes: "192.168.1.20/24", outside: "203.0.113.9:1 203.0.113.9:2 203.0.113.9:3",
			want: "203.0.113.9:1 203.0.113.9:2 192.168.1.20:4747"},
		{name: "bound to one", bound: "192.168.1.20", prefixes: "127.0.0.1/8 192.168.1.20/24 10.0.0.7/8", want: "192.168.1.20:4747"},
		{name: "bound to loopback", bound: "127.0.0.1", prefixes: "127.0.0.1/8 10.0.0.7/8", want: "127.0.0.1:4747"},
		{name: "more than fit", prefixes: "2001:db8::1/64 2001:db8::2/64 2001:db8::3/64 2001:db8::4/64 2001:db8::5/64 2001:db8::6/64 2001:db8::7/64 2001:db8::8/64 192.168.1.20/24 10.0.0.7/8 10.1.0.7/16",
			want: "[2001:db8::1]:4747 [2001:db8::2]:4747 [2001:db8::3]:4747 [2001:db8::4]:4747 [2001:db8::5]:4747 [2001:db8::6]:4747 192.168.1.20:4747 10.0.0.7:4747"},
		{name: "many networks", prefixes: "10.0.0.1/16 10.1.0.1/16 10.2.0.1/16 10.3.0.1/16 10.4.0.1/16 10.5.0.1/16 10.6.0.1/16 10.7.0.1/16 10.8.0.1/16", outside: "203.0.113.9:50001",
			want: "203.0.113.9:50001 10.0.0.1:4747 10.1.0.1:4747 10.2.0.1:4747 10.3.0.1:4747 10.4.0.1:4747 10.5.0.1:4747 10.6.0.1:4747"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var bound netip.Addr
			if c.bound != "" {
				bound = netip.MustParseAddr(c.bound)
			}
			got := ownAddresses(4747, bound, nets(c.prefixes), addrs(c.forwarded), addrs(c.outside))
			if !slices.Equal(got, addrs(c.want)) {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestWorthTrying(t *testing.T) {
	const home = "127.0.0.1/8 192.168.1.20/24 fe80::20/64"
	for _, c := range []struct {
		name, prefixes, own, addresses, want string
	}{
		{"neighbour first", home, "192.168.1.20:4747", "203.0.113.9:4747 192.168.1.21:4747", "192.168.1.21:4747 203.0.113.9:4747"},
		{"another's private network", home, "203.0.113.1:4747 192.168.1.20:4747", "203.0.113.9:4747 10.0.0.7:4747 172.16.0.1:4747 100.64.0.1:4747 [fd00::1]:4747", "203.0.113.9:4747"},
		{"the same router", home, "203.0.113.9:50001 192.168.1.20:4747", "203.0.113.9:50002 192.168.7.21:4747", "203.0.113.9:50002 192.168.7.21:4747"},
		{"behind the same carrier's NAT", "100.70.0.3/16", "100.70.0.3:4747", "100.70.1.1:4747 100.71.0.1:4747", "100.70.1.1:4747"},
		{"loopback on a computer with a network", home, "192.168.1.20:4747", "127.0.0.1:4748 [::1]:4748", ""},
		{"loopback on one without", "127.0.0.1/8", "127.0.0.1:4747", "127.0.0.1:4748 10.0.0.7:4747", "127.0.0.1:4748"},
		{"bound to loopback", home, "127.0.0.1:4747", "127.0.0.1:4748", "127.0.0.1:4748"},
		{"our own", "172.17.0.1/16 192.168.1.20/24", "192.168.1.20:4747", "172.17.0.1:4747 192.168.1.20:4747 192.168.1.20:4748", "192.168.1.20:4748"},
		{"nobody's", home, "192.168.1.20:4747", "0.0.0.0:4747 224.0.0.1:4747 255.255.255.255:4747 203.0.113.9:0 169.254.3.3:4747 [fe80::9]:4747", "[fe80::9]:4747"},
		{"everybody's on a network of ours", home, "192.168.1.20:4747", "192.168.1.0:4747 192.168.1.255:4747 192.168.1.254:4747", "192.168.1.254:4747"},
		{"twice", home, "192.168.1.20:4747", "203.0.113.9:4747 203.0.113.9:4747 [::ffff:203.0.113.9]:4747", "203.0.113.9:4747"},
		{"a network that is everything", "10.0.0.7/0", "10.0.0.7:4747", "192.168.1.1:4747", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := worthTrying(addrs(c.addresses), nets(c.prefixes), addrs(c.own), 4747)
			if !slices.Equal(got, addrs(c.want)) {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
