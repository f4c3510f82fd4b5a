package internet_test

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

// TestScale has 200 hosts behind routers of all kinds, each with 20 connections
// to public ones that ping every 30 s, for three minutes.
func TestScale(t *testing.T) {
	const hosts, publics, connections = 200, 20, 20
	start := time.Now()
	packets := 0
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1, Loss: 0.01})
		var public []netip.AddrPort
		for range publics {
			h := n.Public().Host("public")
			public = append(public, at(h, 80))
			l := listenTCP(t, h, 80)
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						io.Copy(conn, conn)
						conn.Close()
					}()
				}
			}()
		}
		var wg sync.WaitGroup
		kinds := internet.Kinds()
		var all []*internet.Host
		for i := range hosts {
			h := n.Router(kinds[i%len(kinds)]).Host("host")
			all = append(all, h)
			for j := range connections {
				wg.Go(func() { ping(t, h, public[j%publics], 6) })
			}
		}
		wg.Wait()
		time.Sleep(time.Minute) // for what the closes have to tell
		for _, h := range all {
			packets += h.Traffic().PacketsSent
		}
	})
	t.Logf("%d packets of four minutes in %v", packets, time.Since(start))
}

func ping(t *testing.T, h *internet.Host, to netip.AddrPort, times int) {
	conn, err := h.DialTCP(t.Context(), to)
	for errors.Is(err, syscall.ETIMEDOUT) { // of 12,000 SYNs, some are lost three times
		conn, err = h.DialTCP(t.Context(), to)
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for range times {
		time.Sleep(30 * time.Second)
		conn.SetDeadline(time.Now().Add(14 * time.Second))
		if _, err := conn.Write(make([]byte, 100)); err != nil {
			t.Error(err)
			return
		}
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestDeterminism runs the same twice.
func TestDeterminism(t *testing.T) {
	run := func() (packets []internet.Packet) {
		synctest.Test(t, func(t *testing.T) {
			n := internet.New(internet.Config{Seed: 42, Loss: 0.1})
			n.Capture(func(p internet.Packet) {
				p.From, p.To = nil, nil
				packets = append(packets, p)
			})
			oak, elm := n.Router(internet.Symmetric).Host("oak"), n.Public().Host("elm")
			elm.Link().SetReorder(0.3)
			near, far := connect(t, oak, elm)
			near.Write(pattern(100 << 10))
			near.Close()
			io.Copy(io.Discard, far)
		})
		return packets
	}
	first, second := run(), run()
	if len(first) < 100 || len(first) != len(second) {
		t.Fatalf("%d packets, and then %d", len(first), len(second))
	}
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("packet %d: %+v, and then %+v", i, first[i], second[i])
		}
	}
}

// TestManyHosts has enough of them to need all ranges of addresses.
func TestManyHosts(t *testing.T) {
	n := internet.New(internet.Config{})
	seen := make(map[netip.Addr]bool)
	for range 1500 {
		home, flat := n.Router(internet.PortRestricted), n.Router(internet.None)
		for _, address := range []netip.Addr{home.Outside(), home.Host("").Address(), flat.Host("").Address(), n.Public().Host("").Address()} {
			if !address.Is4() || seen[address] {
				t.Fatalf("address %v, again", address)
			}
			seen[address] = true
		}
	}
}

// TestBubbleEnds: readers, writers, dialers and accepters that wait are ended by
// Close, and nothing else keeps a bubble from its end.
func TestBubbleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		oak, elm := n.Router(internet.PortRestricted).Host("oak"), n.Public().Host("elm")
		near, _ := connect(t, oak, elm)
		udp, err := oak.ListenUDP(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		l, err := oak.ListenTCP(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		oak.Changes(t.Context())
		var wg sync.WaitGroup
		for _, wait := range []func() error{
			func() error { _, err := near.Read(make([]byte, 1)); return err },
			func() error { _, err := near.Write(make([]byte, 1<<20)); return err },
			func() error { _, _, err := udp.ReadFrom(make([]byte, 1)); return err },
			func() error { _, err := l.Accept(); return err },
		} {
			wg.Go(func() {
				if err := wait(); err == nil {
					t.Error("no error after Close")
				}
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, c := range []io.Closer{near, udp, l} {
			c.Close()
		}
		wg.Wait()
	})
}
