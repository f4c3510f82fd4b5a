package node

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
)

// TestLateListener has another program hold the port for a while.
func TestLateListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.NewHub()
		network := hub.Network(kith.ID{1})
		other, err := network.Listen(t.Context(), kith.Address{Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		l := newLateListener(kith.Address{Port: 80}, func() (net.Listener, error) {
			return network.Listen(t.Context(), kith.Address{Port: 80})
		})
		accepted := make(chan error)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				conn.Close()
			}
			accepted <- err
			_, err = l.Accept()
			accepted <- err
		}()
		time.Sleep(time.Minute)
		other.Close()
		time.Sleep(listenPause)
		synctest.Wait()
		conn, err := network.Dial(t.Context(), kith.Address{Port: 80})
		if err != nil {
			t.Fatalf("nothing listens although the port is free: %v", err)
		}
		conn.Close()
		if err := <-accepted; err != nil {
			t.Error(err)
		}
		l.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := newLateListener(kith.Address{}, func() (net.Listener, error) { return nil, kith.InUse })
		time.AfterFunc(time.Hour, func() { l.Close() })
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
		}
	})
}
