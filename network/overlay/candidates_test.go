package overlay

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

// TestWorthDialling has a peer say that it may be dialled at all kinds of
// addresses.
func TestWorthDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &village{club: newClub(), net: internet.New(internet.Config{Seed: 1})}
		home := v.net.Router(internet.PortRestricted) // 192.168.1.0/24
		m := v.settle(t, 2, v.net.Public().Host("maple"))
		a := v.settle(t, 1, home.Host("ash"))
		meet(t, m, a)
		outside := netip.AddrPortFrom(home.Outside(), 9).String()
		for _, c := range []struct{ name, said, worth string }{
			{"public", "203.0.113.99:4747 [2001:db8::1]:4747", "203.0.113.99:4747 [2001:db8::1]:4747"},
			{"mapped", "[::ffff:203.0.113.99]:4747 [::ffff:127.0.0.1]:22 [::ffff:192.168.1.255]:9", "203.0.113.99:4747"},
			{"loopback", "127.0.0.1:22 127.1.2.3:8080 [::1]:22", ""},
			{"nobody", "0.0.0.0:4747 [::]:4747 203.0.113.99:0", ""},
			{"everybody", "255.255.255.255:67 224.0.0.251:5353 [ff02::fb]:5353 192.168.1.255:9 192.168.1.0:9", ""},
			{"our own", "192.168.1.2:4747", ""},
			{"on our network", "192.168.1.77:4747", "192.168.1.77:4747"},
			{"on another one", "192.168.2.77:4747 10.0.0.1:80 172.16.0.1:80 100.64.0.1:80 [fd00::1]:80", ""},
			{"on another one behind our router, it says", outside + " 192.168.2.77:4747", outside + " 192.168.2.77:4747"},
		} {
			var said []netip.AddrPort
			for _, text := range strings.Fields(c.said) {
				said = append(said, netip.MustParseAddrPort(text))
			}
			var worth []string
			for _, at := range a.worthDialling(said) {
				worth = append(worth, at.String())
			}
			if !slices.Equal(worth, strings.Fields(c.worth)) {
				t.Errorf("%s: %v, want %s", c.name, worth, c.worth)
			}
		}
	})
}

// TestLyingWitness has one member of three say that it sees a host elsewhere.
func TestLyingWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHamlet(t)
		third := h.settle(t, 5, h.net.Public().Host("third"))
		meet(t, third, h.a)
		truth := h.where(h.a.id)[0]
		for _, lie := range []string{"10.0.0.1:4747", "1.1.1.1:4747", "127.0.0.1:22", "224.0.0.251:5353", "203.0.113.99:0"} {
			h.m.says(netip.MustParseAddrPort(lie))
			h.a.observe()
			time.Sleep(time.Second)
			r := h.a.Reach()
			if len(r.Outside) == 0 || r.Outside[0] != truth {
				t.Errorf("%s: seen at %v, want %s first", lie, r.Outside, truth)
			}
			for _, at := range r.Outside {
				if !at.Addr().IsGlobalUnicast() || at.Port() == 0 {
					t.Errorf("%s: seen at %v", lie, r.Outside)
				}
			}
		}
	})
}

// TestSilentCallers has a relay bring callers that say nothing, as many as it
// can: others still come in through another relay.
func TestSilentCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHamlet(t)
		h.m.relayWith(func(_ *link, st stream, _ header) { st.reset() })
		for range 200 {
			if st := h.m.open(h.b.id, header{kind: forRelayed, host: h.n.id}); st == nil {
				t.Fatal("no stream")
			}
		}
		synctest.Wait()
		began := time.Now()
		conn, err := h.a.Dial(t.Context(), h.echoes(t))
		if err != nil {
			t.Fatal(err)
		}
		h.say(t, conn)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a socket after %v", took)
		}
		if path, via := pathOf(h.a, h.b); path != pathRelayed || via != h.n.id {
			t.Errorf("path %q through %s", path, via.Short())
		}
	})
}
