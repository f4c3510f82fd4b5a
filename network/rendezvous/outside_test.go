package rendezvous

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

func TestOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v views
		note := func(by, of string) {
			var a krpc.NodeAddr
			a.FromAddrPort(netip.MustParseAddrPort(of))
			v.note(netip.MustParseAddrPort(by), a)
		}
		expect := func(want ...string) {
			t.Helper()
			got := v.agreed()
			if len(got) != len(want) {
				t.Fatalf("agreed %v, want %v", got, want)
			}
			for i := range want {
				if got[i].String() != want[i] {
					t.Fatalf("agreed %v, want %v", got, want)
				}
			}
		}
		expect()
		note("192.0.2.1:1", "203.0.113.1:4747")
		note("192.0.2.1:2", "203.0.113.1:4747") // the same computer
		expect()
		note("192.0.2.2:1", "203.0.113.1:4748") // a symmetric NAT
		expect()
		note("192.0.2.3:1", "203.0.113.1:4747")
		expect("203.0.113.1:4747")
		for _, by := range []string{"192.0.2.4:1", "192.0.2.5:1", "192.0.2.6:1"} {
			note(by, "203.0.113.9:1")
			note(by, "224.0.0.1:1")
			note(by, "203.0.113.9:0")
		}
		v.note(netip.MustParseAddrPort("192.0.2.7:1"), krpc.NodeAddr{})
		expect("203.0.113.9:1", "203.0.113.1:4747")
		time.Sleep(viewAge + 1)
		expect()
		for i := range 200 {
			note(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1).String(), "203.0.113.1:4747")
		}
		expect("203.0.113.1:4747")
		if len(v.list) != maxViews {
			t.Errorf("%d views", len(v.list))
		}
	})
}
