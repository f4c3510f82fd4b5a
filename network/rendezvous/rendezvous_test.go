package rendezvous

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

var dhtAddresses = []string{
	"192.0.2.1:6881", "192.0.2.2:6881", "192.0.2.3:6881", "192.0.2.4:6881", "192.0.2.5:6881",
	"192.0.2.6:6881", "192.0.2.7:6881", "192.0.2.8:6881", "192.0.2.9:6881", "192.0.2.10:6881",
}

const (
	oakAddress   = "198.51.100.1:4747"
	mapleAddress = "203.0.113.1:4747"
)

func newID(t testing.TB) kith.ID {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return kith.IDOf(public)
}

func at(addresses ...string) func() []netip.AddrPort {
	var list []netip.AddrPort
	for _, a := range addresses {
		list = append(list, netip.MustParseAddrPort(a))
	}
	return func() []netip.AddrPort { return list }
}

// meet runs Meet until ctx ends and tells what it yields.
func meet(ctx context.Context, r *Rendezvous, secret [32]byte, self kith.ID, mine func() []netip.AddrPort) <-chan Meeting {
	c := make(chan Meeting, 1000)
	go func() {
		defer close(c)
		for m := range r.Meet(ctx, secret, self, mine) {
			c <- m
		}
	}()
	return c
}

// world runs test in a bubble with a DHT of ten nodes.
func world(t *testing.T, test func(t *testing.T, ctx context.Context, w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWire()
		servers := w.dhtNodes(t, dhtAddresses...)
		test(t, ctx, w)
		cancel()
		for _, s := range servers {
			s.Close()
		}
		synctest.Wait() // a goroutine that stays fails the test
	})
}

func TestMeet(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0])
		maple, _ := w.join(ctx, t, mapleAddress, dhtAddresses[0])
		oakID, mapleID, secret := newID(t), newID(t), [32]byte{1}
		start := time.Now()
		atOak := meet(ctx, oak, secret, oakID, at(oakAddress, "[2001:db8::1]:4747"))
		atMaple := meet(ctx, maple, secret, mapleID, at(mapleAddress))
		m := <-atOak
		if m.Peer != mapleID || len(m.Addresses) != 1 || m.Addresses[0] != netip.MustParseAddrPort(mapleAddress) {
			t.Errorf("oak met %v", m)
		}
		m = <-atMaple
		if m.Peer != oakID || len(m.Addresses) != 2 {
			t.Errorf("maple met %v", m)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
		t.Log(time.Since(start))
		t.Log(w.packets(netip.MustParseAddrPort(oakAddress)))
		if o := oak.Outside(); len(o) != 1 || o[0] != netip.MustParseAddrPort(oakAddress) {
			t.Errorf("outside %v", o)
		}
	})
}
