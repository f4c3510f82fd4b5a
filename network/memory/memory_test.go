package memory_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/network/networktest"
)

var oak, maple = kith.ID{1}, kith.ID{2}

func TestNetwork(t *testing.T) {
	networktest.Run(t, func(t *testing.T) networktest.Pair {
		hub := memory.NewHub()
		dialer, listener := hub.Network(oak), hub.Network(maple)
		return networktest.Pair{
			Dialer:     dialer,
			Listener:   listener,
			Address:    func() kith.Address { return kith.Address{} },
			DialerID:   oak,
			ListenerID: maple,
			Silent: func(t *testing.T) kith.Address {
				address := kith.Address{Host: maple.String(), Port: 7}
				listen(t, listener, address)
				for { // until the queue is full
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
					_, err := dialer.Dial(ctx, address)
					cancel()
					if err != nil {
						return address
					}
				}
			},
		}
	})
}

func TestPacketNetwork(t *testing.T) {
	networktest.RunPacket(t, func(t *testing.T) networktest.PacketPair {
		hub := memory.NewHub()
		return networktest.PacketPair{
			Near: hub.Network(oak), Far: hub.Network(maple),
			NearPeer: kith.Peer{ID: oak}, FarPeer: kith.Peer{ID: maple},
		}
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.NewHub()
		a, b := hub.Network(oak), hub.Network(maple)
		address := kith.Address{Host: maple.String(), Port: 80}
		l := listen(t, b, address)
		dialed, err := a.Dial(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { hub.Cut(maple, oak) })
		for _, conn := range []net.Conn{dialed, accepted} {
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, kith.Unreachable) {
				t.Errorf("read: %v, want kind %q", err, kith.Unreachable)
			}
			conn.Close()
		}
		if _, err := a.Dial(t.Context(), address); !errors.Is(err, kith.Unreachable) {
			t.Errorf("dial over a cut path: %v, want kind %q", err, kith.Unreachable)
		}
		self, err := b.Dial(t.Context(), address)
		if err != nil {
			t.Fatalf("dial oneself while the path to another is cut: %v", err)
		}
		self.Close()
		hub.Mend(oak, maple)
		again, err := a.Dial(t.Context(), address)
		if err != nil {
			t.Fatalf("dial over a mended path: %v", err)
		}
		again.Close()
	})
}

func TestUnknownHosts(t *testing.T) {
	n := memory.NewHub().Network(oak)
	for _, c := range []struct {
		host string
		want kith.Kind
	}{
		{maple.String(), kith.Unreachable},
		{"maple", kith.Invalid},
		{"", kith.Refused},
	} {
		if _, err := n.Dial(t.Context(), kith.Address{Host: c.host, Port: 1}); !errors.Is(err, c.want) {
			t.Errorf("dial %q: %v, want kind %q", c.host, err, c.want)
		}
	}
	if _, err := n.Listen(t.Context(), kith.Address{Host: maple.String()}); !errors.Is(err, kith.Invalid) {
		t.Errorf("listen as another host: %v, want kind %q", err, kith.Invalid)
	}
}

// TestVirtualTime checks that deadlines pass in virtual time.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewHub().Network(oak)
		l := listen(t, n, kith.Address{})
		conn, err := n.Dial(t.Context(), l.Addr().(kith.Address))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		conn.SetReadDeadline(start.Add(time.Hour))
		if _, err := io.ReadAll(conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, want os.ErrDeadlineExceeded", err)
		}
		if passed := time.Since(start); passed != time.Hour {
			t.Errorf("the deadline passed after %v, want 1h", passed)
		}
	})
}

func listen(t *testing.T, n kith.Network, address kith.Address) net.Listener {
	t.Helper()
	l, err := n.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
