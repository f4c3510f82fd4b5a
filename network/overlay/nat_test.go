package overlay

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/internet"
)

// A village is a club whose members are on a simulated Internet. What they know
// of each other's addresses is what records would tell.
type village struct {
	*club
	net  *internet.Net
	nats sync.Map // by ID
}

// settle runs a member on a host of the Internet, known to be there at its own
// addresses that are public, and where others see it.
func (v *village) settle(t testing.TB, seed int, host *internet.Host, relays ...kith.ID) *Overlay {
	t.Helper()
	var o *Overlay
	o = New(Config{
		Key: newKey(seed), Admit: v.admit, Addresses: v.where, Internet: host,
		NAT: func(id kith.ID) string {
			nat, _ := v.nats.Load(id)
			return nat.(string)
		},
		Relays: func(kith.ID) []kith.ID { return relays },
		Candidates: func() (list []netip.AddrPort) {
			for _, p := range host.Interfaces() {
				if !p.Addr().IsLoopback() {
					list = append(list, netip.AddrPortFrom(p.Addr(), 4747))
				}
			}
			return list
		},
		OnReach:     func() { v.tell(o, host) },
		RelayLimits: RelayLimits{BytesPerSecond: 1 << 40},
	})
	v.set(o.id, true)
	serve(t, o)
	if _, err := o.Open(t.Context(), "", 4747); err != nil {
		t.Fatal(err)
	}
	v.tell(o, host)
	return o
}

// tell has everybody know where a host is.
func (v *village) tell(o *Overlay, host *internet.Host) {
	r := o.Reach()
	v.nats.Store(o.id, r.NAT)
	list := r.Outside
	for _, p := range host.Interfaces() {
		if !p.Addr().IsLoopback() && !private(p.Addr()) {
			list = append(list, netip.AddrPortFrom(p.Addr(), 4747))
		}
	}
	v.place(o.id, list...)
}

// TestNATs has hosts behind every pair of NATs meet, with one member that can
// be reached: all connect, and directly where docs/nat.md says so.
func TestNATs(t *testing.T) {
	table, err := os.ReadFile("../../docs/nat.md")
	if err != nil {
		t.Fatal(err)
	}
	expected, err := internet.Expectations(string(table))
	if err != nil {
		t.Fatal(err)
	}
	for _, near := range internet.Kinds() {
		for _, far := range internet.Kinds() {
			t.Run(fmt.Sprintf("%s to %s", near, far), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := &village{club: newClub(), net: internet.New(internet.Config{Seed: 1})}
					m := v.settle(t, 3, v.net.Public().Host("maple"))
					n := v.settle(t, 4, v.net.Public().Host("nut"))
					a := v.settle(t, 1, v.net.Router(near).Host("ash"), m.id)
					b := v.settle(t, 2, v.net.Router(far).Host("birch"), m.id)
					for _, relay := range []*Overlay{m, n} {
						meet(t, relay, a, b)
					}
					time.Sleep(time.Minute)

					l, err := b.Listen(t.Context(), kith.Address{})
					if err != nil {
						t.Fatal(err)
					}
					go func() {
						if conn, err := l.Accept(); err == nil {
							io.Copy(conn, conn)
						}
					}()
					began := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					conn, err := a.Dial(ctx, l.Addr().(kith.Address))
					if err != nil {
						t.Fatal(err)
					}
					conn.Write([]byte("hello"))
					if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
						t.Fatal(err)
					}
					first := time.Since(began)
					path, _ := pathOf(a, b)
					firstPath := path
					for range 60 {
						if path != pathRelayed {
							break
						}
						time.Sleep(time.Second)
						path, _ = pathOf(a, b)
					}
					got := internet.Direct
					if path == pathRelayed {
						got = internet.Relay
					}
					if want := expected[[2]internet.NAT{near, far}]; got != want {
						t.Errorf("%s, want %s", got, want)
					}
					t.Logf("first reply after %v, %s; %s after %v", first, firstPath, path, time.Since(began))
				})
			})
		}
	}
}
