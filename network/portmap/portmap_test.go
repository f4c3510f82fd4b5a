package portmap

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func describeAll(all []Mapping) string {
	var parts []string
	for _, l := range all {
		parts = append(parts, fmt.Sprintf("%s %s by %s for %s", l.Protocol, l.External, l.By, time.Until(l.Until).Round(time.Second)))
	}
	return strings.Join(parts, ", ")
}

// TestMapped sees what comes of the answers that gateways give.
func TestMapped(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*gateway)
		want   string
		kind   kith.Kind // of Failure
	}{
		{"PCP", func(g *gateway) {}, "udp 203.0.113.9:4747 by pcp for 2h0m0s, tcp 203.0.113.9:4747 by pcp for 2h0m0s", ""},
		{"PCP, another port and time", func(g *gateway) { g.outsidePort, g.grants = 999, 20*time.Minute },
			"udp 203.0.113.9:999 by pcp for 20m0s, tcp 203.0.113.9:999 by pcp for 20m0s", ""},
		{"NAT-PMP alone", func(g *gateway) { g.pcp = false },
			"udp 203.0.113.9:4747 by nat-pmp for 2h0m0s, tcp 203.0.113.9:4747 by nat-pmp for 2h0m0s", ""},
		{"a router behind a router", func(g *gateway) { g.external = netip.MustParseAddr("192.168.178.20") },
			"udp 192.168.178.20:4747 by pcp for 2h0m0s, tcp 192.168.178.20:4747 by pcp for 2h0m0s", ""},
		{"a router behind the provider's", func(g *gateway) { g.external = netip.MustParseAddr("100.64.3.4") },
			"udp 100.64.3.4:4747 by pcp for 2h0m0s, tcp 100.64.3.4:4747 by pcp for 2h0m0s", ""},
		{"refused", func(g *gateway) { g.refuses = true }, "", kith.Denied},
		{"silent", func(g *gateway) { g.pcp, g.natpmp = false, false }, "", kith.Unreachable},
		{"not on the Internet", func(g *gateway) { g.external = netip.IPv4Unspecified() }, "", kith.Temporary},
		{"loopback", func(g *gateway) { g.external = netip.MustParseAddr("127.0.0.1") }, "", kith.Temporary},
		{"multicast", func(g *gateway) { g.external = netip.MustParseAddr("224.0.0.1") }, "", kith.Temporary},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway()
				test.change(g)
				m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
				stop := serve(t, m)
				time.Sleep(tryFor)
				synctest.Wait()
				if got, want := describeAll(m.Mapped()), shorter(test.want); got != want {
					t.Errorf("mapped %q, want %q", got, want)
				}
				if err := m.Failure(); (err == nil) != (test.kind == "") || err != nil && !errors.Is(err, test.kind) {
					t.Errorf("failure %v, want %q", err, test.kind)
				}
				stop()
				if left, _, _ := g.state(); left != 0 || len(m.Mapped()) != 0 || m.Failure() != nil {
					t.Errorf("after the end: %d mappings at the gateway, %d here, %v", left, len(m.Mapped()), m.Failure())
				}
			})
		})
	}
}

// shorter takes tryFor, which TestMapped waits, off what was granted.
func shorter(want string) string {
	return strings.NewReplacer("2h0m0s", "1h59m30s", "20m0s", "19m30s").Replace(want)
}

// TestRenewed keeps mappings alive for a day, over restarts of the gateway.
func TestRenewed(t *testing.T) {
	for _, test := range []struct {
		grants, every time.Duration
	}{
		{2 * time.Hour, lookEvery},
		{10 * time.Minute, 5 * time.Minute},
		{10 * time.Second, renewAfter},
	} {
		t.Run(test.grants.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway()
				g.grants = test.grants
				m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
				changes := 0
				m.config.Changed = func() { changes++ }
				serve(t, m)
				const renewals = 20
				for range renewals {
					time.Sleep(test.every)
					g.restart()
				}
				time.Sleep(test.every)
				synctest.Wait()
				mappings, asked, _ := g.state()
				if want := 2 * (renewals + 2); mappings != 2 || asked != want || changes != 1 {
					t.Errorf("%d mappings, %d requests (want %d), %d changes", mappings, asked, want, changes)
				}
			})
		})
	}
}

// TestRetried counts the packets of a host whose gateway never answers.
func TestRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		g.pcp, g.natpmp = false, false
		m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
		serve(t, m)
		const each = 2 * packets // PCP and NAT-PMP
		for _, step := range []struct{ after, tries int }{{25, 1}, {60, 2}, {95, 3}, {600, 3}, {720, 4}, {1260, 4}, {1320, 5}} {
			time.Sleep(time.Duration(step.after)*time.Second - time.Since(epoch))
			if _, asked, _ := g.state(); asked != step.tries*each {
				t.Errorf("after %d s: %d packets, want %d", step.after, asked, step.tries*each)
			}
		}
		g.mu.Lock()
		g.pcp = true
		g.mu.Unlock()
		m.Again()
		time.Sleep(minPause + time.Second)
		if len(m.Mapped()) != 2 || m.Failure() != nil {
			t.Errorf("answered again: %s, %v", describeAll(m.Mapped()), m.Failure())
		}
	})
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when bubbles begin

// TestSilence keeps what was granted while the gateway does not answer, until it
// ends, and drops it when the gateway refuses.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
		serve(t, m)
		set := func(answers, refuses bool) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.pcp, g.natpmp, g.refuses = answers, answers, refuses
		}
		time.Sleep(time.Minute)
		set(false, false)
		time.Sleep(time.Hour)
		if len(m.Mapped()) != 2 || !errors.Is(m.Failure(), kith.Unreachable) {
			t.Errorf("silent for an hour: %s, %v", describeAll(m.Mapped()), m.Failure())
		}
		time.Sleep(time.Hour)
		if len(m.Mapped()) != 0 {
			t.Errorf("silent for two hours: %s", describeAll(m.Mapped()))
		}
		set(true, false)
		time.Sleep(lookEvery)
		if len(m.Mapped()) != 2 || m.Failure() != nil {
			t.Errorf("answers again: %s, %v", describeAll(m.Mapped()), m.Failure())
		}
		set(true, true)
		time.Sleep(lookEvery)
		if len(m.Mapped()) != 0 || !errors.Is(m.Failure(), kith.Denied) {
			t.Errorf("refuses: %s, %v", describeAll(m.Mapped()), m.Failure())
		}
	})
}

// TestMoved carries the host to another network, without a word to the old
// gateway, and out of every network.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, away := newGateway(), newGateway()
		away.external = netip.MustParseAddr("198.51.100.7")
		var now atomic.Value
		now.Store(at("192.168.1.1"))
		w := world{"192.168.1.1": home, "10.0.0.1": away}
		m := newMapper(w.wire(), func() []netip.Addr { return now.Load().(func() []netip.Addr)() })
		serve(t, m)
		time.Sleep(time.Minute)
		_, before, _ := home.state()
		now.Store(at("10.0.0.1"))
		m.Again()
		time.Sleep(time.Second)
		if got := describeAll(m.Mapped()); !strings.HasPrefix(got, "udp 198.51.100.7:4747 by pcp") {
			t.Errorf("moved: %s", got)
		}
		if _, after, _ := home.state(); after != before {
			t.Errorf("%d packets to a gateway that is not there any more", after-before)
		}
		now.Store(at())
		m.Again()
		time.Sleep(time.Second)
		if len(m.Mapped()) != 0 || !errors.Is(m.Failure(), kith.NotFound) {
			t.Errorf("no network: %s, %v", describeAll(m.Mapped()), m.Failure())
		}
	})
}

// TestPort follows the port of the host, which may close.
func TestPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		var current atomic.Uint32
		m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
		m.config.Port = func() uint16 { return uint16(current.Load()) }
		serve(t, m)
		for _, step := range []struct {
			port     uint16
			mappings int
			deleted  int
		}{{0, 0, 0}, {port, 2, 0}, {port + 1, 2, 2}, {0, 0, 4}} {
			current.Store(uint32(step.port))
			m.Again()
			time.Sleep(2 * minPause)
			mappings, asked, deleted := g.state()
			if mappings != step.mappings || deleted != step.deleted || len(m.Mapped()) != step.mappings || m.Failure() != nil {
				t.Errorf("port %d: %d mappings (%d asked, %d deleted), %s, %v", step.port, mappings, asked, deleted, describeAll(m.Mapped()), m.Failure())
			}
			for _, l := range m.Mapped() {
				if l.External.Port() != step.port {
					t.Errorf("port %d: mapped to %s", step.port, l.External)
				}
			}
		}
	})
}

// TestAgainOften sees that a burst of calls is not a burst of packets.
func TestAgainOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway()
		m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
		serve(t, m)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			m.Again()
		}
		if _, asked, _ := g.state(); asked > 2*12 {
			t.Errorf("%d packets in 10 s", asked)
		}
	})
}

// TestEndsInTime stops while the gateway is silent.
func TestEndsInTime(t *testing.T) {
	for _, after := range []time.Duration{0, 100 * time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			g := newGateway()
			m := newMapper(world{"192.168.1.1": g}.wire(), at("192.168.1.1"))
			stop := serve(t, m)
			time.Sleep(after)
			g.mu.Lock()
			g.pcp, g.natpmp = false, false
			g.mu.Unlock()
			before := time.Now()
			stop()
			if took := time.Since(before); took > releaseWithin {
				t.Errorf("after %v: ended in %v", after, took)
			}
		})
	}
}

// TestLoopback speaks with a gateway over real sockets.
func TestLoopback(t *testing.T) {
	for name, speaksPCP := range map[string]bool{"pcp": true, "nat-pmp": false} {
		t.Run(name, func(t *testing.T) {
			g := newGateway()
			g.pcp = speaksPCP
			w := systemWire()
			w.group, w.pcp = netip.AddrPort{}, g.serveUDP(t)
			m := newMapper(w, at("127.0.0.1"))
			stop := serveMapped(t, m)
			if got := describeAll(m.Mapped()); got != fmt.Sprintf("udp 203.0.113.9:4747 by %s for 2h0m0s, tcp 203.0.113.9:4747 by %s for 2h0m0s", name, name) {
				t.Errorf("mapped %q", got)
			}
			stop()
			if left, _, deleted := g.state(); left != 0 || deleted != 2 {
				t.Errorf("after the end: %d mappings, %d deleted", left, deleted)
			}
		})
	}
}

// serveMapped runs Serve, and waits until it has succeeded or failed.
func serveMapped(t *testing.T, m *Mapper) (stop func()) {
	t.Helper()
	changed := make(chan struct{}, 8)
	m.config.Changed = func() { changed <- struct{}{} }
	stop = serve(t, m)
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing happened")
	}
	return stop
}
