package loopback

import (
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"testing"
)

func TestSameUserPacket(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, test := range []struct{ network, listen, host string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp4", "0.0.0.0:0", "127.0.0.1"},
		{"udp6", "[::1]:0", "::1"},
		{"udp", "[::]:0", "127.0.0.1"},
		{"udp", "[::]:0", "::1"},
	} {
		s, err := net.ListenPacket(test.network, test.listen)
		if err != nil {
			t.Logf("listen on %s: %v", test.listen, err) // no IPv6
			continue
		}
		local := netip.AddrPortFrom(netip.MustParseAddr(test.host), s.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		if !SameUserPacket(local, log) {
			t.Errorf("%s: our own socket at %s is another's", test.listen, local)
		}
		s.Close()
		if runtime.GOOS == "linux" && SameUserPacket(local, log) {
			t.Errorf("%s: a closed socket is ours", test.listen)
		}
	}
}
