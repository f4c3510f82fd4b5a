package underlay

import (
	"net/netip"
	"testing"
)

func TestKindsOfAddresses(t *testing.T) {
	for address, want := range map[string]struct{ public, private bool }{
		"203.0.113.7":     {public: true},
		"2001:db8::7":     {public: true},
		"10.1.2.3":        {private: true},
		"192.168.1.10":    {private: true},
		"100.64.0.1":      {private: true},
		"100.128.0.1":     {public: true},
		"169.254.1.1":     {private: true},
		"fe80::1":         {private: true},
		"fd00::1":         {private: true},
		"127.0.0.1":       {},
		"::1":             {},
		"0.0.0.0":         {},
		"224.0.0.251":     {},
		"255.255.255.255": {},
	} {
		a := netip.MustParseAddr(address)
		if public, private := IsPublic(a), IsPrivate(a); public != want.public || private != want.private {
			t.Errorf("%s: public %v, private %v", address, public, private)
		}
	}
}

func TestIsBroadcast(t *testing.T) {
	for _, test := range []struct {
		network, address string
		want             bool
	}{
		{"192.168.1.10/24", "192.168.1.255", true},
		{"192.168.1.10/24", "192.168.1.0", true},
		{"192.168.1.10/24", "192.168.1.254", false},
		{"192.168.1.10/24", "192.168.2.255", false},
		{"10.0.0.0/31", "10.0.0.1", false},
		{"10.0.0.1/32", "10.0.0.1", false},
		{"2001:db8::1/64", "2001:db8::ffff:ffff:ffff:ffff", false},
	} {
		if got := IsBroadcast(netip.MustParsePrefix(test.network), netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("%s in %s: %v, want %v", test.address, test.network, got, test.want)
		}
	}
}
