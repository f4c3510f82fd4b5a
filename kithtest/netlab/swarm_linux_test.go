package netlab

import (
	"io"
	"math"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestBound computes by hand what a scenario takes at least.
func TestBound(t *testing.T) {
	home := func(up int) Rates { return Rates{Up: up * Mbit, Down: 50 * Mbit} }
	const size = 32 << 20 // 268.4 Mbit
	for _, test := range []struct {
		swarm   Swarm
		seconds float64
	}{
		{Swarm{Seed: home(10), Taker: home(10), Takers: 4, Size: size}, 26.84},  // the seed's uplink: 268.4/10
		{Swarm{Seed: home(10), Taker: home(10), Takers: 16, Size: size}, 26.84}, // however many they are
		{Swarm{Seed: home(20), Taker: home(5), Takers: 8, Size: size}, 35.79},   // all uplinks: 8*268.4/(20+8*5)
		{Swarm{Seed: home(20), Taker: home(5), Takers: 16, Size: size}, 42.95},
		{Swarm{Seed: home(100), Taker: home(100), Takers: 3, Size: size}, 5.37}, // a downlink: 268.4/50
		// 12*268.4 Mbit, and the uplinks miss 4*10*10 of those who are late and 5*10 of the absent one.
		{Swarm{Seed: home(10), Taker: home(10), Takers: 12, Size: size, Late: 4, LateBy: 10 * time.Second, Absence: 5 * time.Second}, 28.24},
		{Swarm{Seed: home(100), Taker: home(100), Takers: 4, Size: size, Late: 1, LateBy: 10 * time.Second}, 15.37},
	} {
		if got := test.swarm.Bound().Seconds(); math.Abs(got-test.seconds) > 0.01 {
			t.Errorf("%+v takes %.2f s at least, not %.2f", test.swarm, test.seconds, got)
		}
	}
}

// TestShaped has hosts send over links as fast as these carry, and counts the frames.
func TestShaped(t *testing.T) {
	t.Parallel()
	l := New(t)
	hub := l.Switch("switch")
	maple, oak := hub.Host("maple", Rates{Up: 5 * Mbit, Down: 20 * Mbit}), hub.Host("oak", Rates{Up: 20 * Mbit, Down: 10 * Mbit})
	for _, way := range []struct {
		from, to *Computer
		rate     float64
	}{{maple, oak, 5 * Mbit}, {oak, maple, 20 * Mbit}} {
		const size, headers = 2 << 20, float64(frame) / segment
		ln := way.to.ListenTCP(":0")
		at := netip.AddrPortFrom(way.to.Address(), ln.Addr().(*net.TCPAddr).AddrPort().Port()).String()
		arrived := make(chan int64, 1)
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			conn.Close()
			arrived <- n
		}()
		before, began := hub.Traffic(way.from), time.Now()
		way.from.Inside(func() error {
			conn, err := net.Dial("tcp4", at)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write(make([]byte, size))
			return err
		})
		if n := <-arrived; n != size {
			t.Fatalf("%d bytes of %d arrive", n, size)
		}
		took := time.Since(began).Seconds()
		sent := float64(hub.Traffic(way.from).Sent - before.Sent)
		t.Logf("%s: %.2f Mbit/s, %.4f of the bytes were sent", way.from.Name, sent*8/took/Mbit, sent/size)
		if sent*8/took > 1.05*way.rate {
			t.Errorf("%s sends %.2f Mbit/s over a link of %.2f", way.from.Name, sent*8/took/Mbit, way.rate/Mbit)
		}
		if sent < size*headers*0.999 || sent > size*headers*1.05 {
			t.Errorf("%s sent %.0f bytes of %d, where frames make it %.0f", way.from.Name, sent, size, size*headers)
		}
	}
}
