package rendezvous

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
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
	elmAddress   = "203.0.113.9:4747"
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

// world runs test in a bubble with a DHT of ten nodes, four hours before midnight.
func world(t *testing.T, test func(t *testing.T, ctx context.Context, w *wire)) {
	// On two processors the runtime of Go 1.26 crashes under the race detector when
	// timers of one bubble run at once, as the library's do: they share a context.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.Sleep(20 * time.Hour) // bubbles begin at midnight
		w := newWire()
		servers := w.dhtNodes(ctx, t, dhtAddresses...)
		defer func() {
			cancel()
			synctest.Wait()
			for _, s := range servers {
				s.Close()
			}
			time.Sleep(answerWait) // for what the nodes ask each other; a goroutine that stays longer fails the test
		}()
		test(t, ctx, w)
	})
}

// next returns the next meeting that is with peer at address.
func next(t *testing.T, meetings <-chan Meeting, peer kith.ID, address string) {
	t.Helper()
	late := time.After(10 * time.Minute)
	for {
		select {
		case m, ok := <-meetings:
			if !ok {
				t.Fatal("Meet has ended")
			}
			if m.Peer == peer && slices.Contains(m.Addresses, netip.MustParseAddrPort(address)) {
				return
			}
		case <-late:
			t.Fatalf("no meeting with %s at %s", peer.Short(), address)
		}
	}
}

func TestMeet(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oakID, mapleID, elmID, secret := newID(t), newID(t), newID(t), [32]byte{1}
		var mu sync.Mutex
		var told [][]byte
		w.tap = func(from, to netip.AddrPort, packet []byte) {
			if from.String() != oakAddress && from.String() != mapleAddress {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, bytes.Clone(packet))
			if !slices.Contains(dhtAddresses, to.String()) {
				t.Errorf("a packet from %v to %v", from, to)
			}
		}
		oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0])
		maple, _ := w.join(ctx, t, mapleAddress, dhtAddresses[0])
		elm, _ := w.join(ctx, t, elmAddress, dhtAddresses[0])
		start := time.Now()
		atElm := meet(ctx, elm, [32]byte{2}, elmID, at(elmAddress))
		atOak := meet(ctx, oak, secret, oakID, at(oakAddress, "[2001:db8::1]:4747"))
		time.Sleep(time.Minute)
		atMaple := meet(ctx, maple, secret, mapleID, at(mapleAddress))
		next(t, atMaple, oakID, "[2001:db8::1]:4747")
		if took := time.Since(start) - time.Minute; took > 10*time.Second {
			t.Errorf("maple met oak after %v", took)
		}
		next(t, atOak, mapleID, mapleAddress)
		if took := time.Since(start) - time.Minute; took > 40*time.Second {
			t.Errorf("oak met maple after %v", took)
		}
		time.Sleep(time.Hour)
		select {
		case m := <-atElm:
			t.Errorf("elm, which does not know the secret, met %v", m)
		default:
		}
		if o := oak.Outside(); len(o) != 1 || o[0].String() != oakAddress {
			t.Errorf("outside %v", o)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range told {
			for _, secret := range [][]byte{secret[:], oakID[:], mapleID[:], {198, 51, 100, 1}, {203, 0, 113, 1}, netip.MustParseAddr("2001:db8::1").AsSlice()} {
				if bytes.Contains(p, secret) {
					t.Errorf("%x is readable in %q", secret, p)
				}
			}
			if !bytes.Contains(p, []byte("2:roi1e")) {
				t.Errorf("not read-only: %q", p)
			}
		}
	})
}

func TestMeetAtOnce(t *testing.T) {
	for _, hosts := range []int{2, boardEntries, boardEntries + 3} {
		world(t, func(t *testing.T, ctx context.Context, w *wire) {
			start := time.Now()
			var ids []kith.ID
			var meetings []<-chan Meeting
			for i := range hosts {
				address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 4747).String()
				r, _ := w.join(ctx, t, address, dhtAddresses[0])
				ids = append(ids, newID(t))
				meetings = append(meetings, meet(ctx, r, [32]byte{1}, ids[i], at(address)))
			}
			for i, c := range meetings {
				missing := slices.Delete(slices.Clone(ids), i, i+1)
				for len(missing) > 0 {
					select {
					case m := <-c:
						missing = slices.DeleteFunc(missing, func(id kith.ID) bool { return id == m.Peer })
					case <-time.After(time.Hour):
						t.Fatalf("of %d hosts, %d did not meet %d others", hosts, i, len(missing))
					}
				}
			}
			t.Logf("%d hosts: %v", hosts, time.Since(start))
		})
	}
}

func TestMove(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0])
		maple, _ := w.join(ctx, t, mapleAddress, dhtAddresses[0])
		oakID, mapleID, secret := newID(t), newID(t), [32]byte{1}
		var mu sync.Mutex
		addresses := at(mapleAddress)
		atOak := meet(ctx, oak, secret, oakID, at(oakAddress))
		meet(ctx, maple, secret, mapleID, func() []netip.AddrPort {
			mu.Lock()
			defer mu.Unlock()
			return addresses()
		})
		next(t, atOak, mapleID, mapleAddress)
		time.Sleep(2 * time.Hour)
		start := time.Now()
		mu.Lock()
		addresses = at("203.0.113.77:1")
		mu.Unlock()
		next(t, atOak, mapleID, "203.0.113.77:1")
		if took := time.Since(start); took > lastPause+time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// Clocks differ by a day, and midnight passes.
func TestClocks(t *testing.T) {
	for _, late := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		world(t, func(t *testing.T, ctx context.Context, w *wire) {
			oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0])
			maple := New(Config{Conn: w.listen(mapleAddress), Bootstrap: dhtAddresses[:1], Log: oak.config.Log})
			maple.now = func() time.Time { return time.Now().Add(late) }
			go maple.Serve(ctx)
			oakID, mapleID, secret := newID(t), newID(t), [32]byte{1}
			var mu sync.Mutex
			addresses := at(mapleAddress)
			atOak := meet(ctx, oak, secret, oakID, at(oakAddress))
			atMaple := meet(ctx, maple, secret, mapleID, func() []netip.AddrPort {
				mu.Lock()
				defer mu.Unlock()
				return addresses()
			})
			next(t, atOak, mapleID, mapleAddress)
			next(t, atMaple, oakID, oakAddress)
			time.Sleep(4*time.Hour + time.Minute)
			mu.Lock()
			addresses = at("203.0.113.77:1")
			mu.Unlock()
			next(t, atOak, mapleID, "203.0.113.77:1")
		})
	}
}

func TestTraffic(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0])
		address := netip.MustParseAddrPort(oakAddress)
		time.Sleep(time.Hour)
		if n, _ := w.packets(address); n != 0 {
			t.Errorf("%d packets without Meet", n)
		}
		meet(ctx, oak, [32]byte{1}, newID(t), at(oakAddress))
		last := 0
		for second := range 3600 {
			time.Sleep(time.Second)
			n, _ := w.packets(address)
			if n-last > packetRate+packetBurst {
				t.Errorf("%d packets in second %d", n-last, second)
			}
			last = n
		}
		n, size := w.packets(address)
		t.Logf("%d packets, %d bytes in an hour", n, size)
		if size > 500_000 {
			t.Errorf("%d bytes in an hour", size)
		}
	})
}

func TestSilentBootstrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWire()
		oak, served := w.join(ctx, t, oakAddress, dhtAddresses[0], dhtAddresses[1], "localhost", "no-port:http")
		met := meet(ctx, oak, [32]byte{1}, newID(t), at(oakAddress))
		time.Sleep(time.Hour)
		if n, _ := w.packets(netip.MustParseAddrPort(oakAddress)); n == 0 || n > 500 {
			t.Errorf("%d packets in an hour", n)
		}
		cancel()
		if _, ok := <-met; ok {
			t.Error("met somebody")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// The socket is the host's: it stays open, without a deadline and without a reader.
func TestServeEnds(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		conn := w.listen(oakAddress)
		oak := New(Config{Conn: conn, Bootstrap: dhtAddresses[:1], Log: slogDiscard})
		maple, _ := w.join(ctx, t, mapleAddress, dhtAddresses[0])
		oakID, mapleID, secret := newID(t), newID(t), [32]byte{1}
		meet(ctx, maple, secret, mapleID, at(mapleAddress))
		atOak := meet(ctx, oak, secret, oakID, at(oakAddress))
		for range 3 {
			serving, stop := context.WithCancel(ctx)
			served := make(chan error)
			go func() { served <- oak.Serve(serving) }()
			time.Sleep(time.Hour)
			next(t, atOak, mapleID, mapleAddress)
			stop()
			start := time.Now()
			if err := <-served; err != nil || time.Since(start) > time.Second {
				t.Errorf("Serve ended after %v with %v", time.Since(start), err)
			}
			for len(conn.inbox) > 0 {
				<-conn.inbox
			}
			w.listen("198.51.100.200:1").WriteTo([]byte("hello"), conn.LocalAddr())
			b := make([]byte, 10)
			if n, _, err := conn.ReadFrom(b); err != nil || string(b[:n]) != "hello" {
				t.Errorf("read %q, %v", b[:n], err)
			}
			before, _ := w.packets(conn.address)
			time.Sleep(time.Hour)
			if after, _ := w.packets(conn.address); after != before {
				t.Errorf("%d packets after Serve", after-before)
			}
			for len(atOak) > 0 {
				<-atOak
			}
		}
		served := make(chan error)
		go func() { served <- oak.Serve(ctx) }()
		synctest.Wait()
		conn.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve on a closed socket: %v", err)
		}
	})
}

func TestBreak(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0])
		maple, _ := w.join(ctx, t, mapleAddress, dhtAddresses[0])
		meet(ctx, maple, [32]byte{1}, newID(t), at(mapleAddress))
		for range oak.Meet(ctx, [32]byte{1}, newID(t), at()) { // who is nowhere still looks
			break
		}
	})
}
