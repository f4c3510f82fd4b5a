package underlay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kith.alt/kith"
)

func TestListen(t *testing.T) {
	in := System()
	tcp, err := in.ListenTCP(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := in.ListenUDP(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if _, ok := udp.(*net.UDPConn); !ok {
		t.Errorf("ListenUDP returned a %T", udp)
	}
	at := tcp.Addr().(*net.TCPAddr).AddrPort()
	if _, err := in.ListenTCP(t.Context(), "127.0.0.1", at.Port()); !errors.Is(err, kith.InUse) {
		t.Errorf("a taken TCP port: %v", err)
	}
	if _, err := in.ListenUDP(t.Context(), "127.0.0.1", udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()); !errors.Is(err, kith.InUse) {
		t.Errorf("a taken UDP port: %v", err)
	}
	conn, err := in.DialTCP(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestInterfaces(t *testing.T) {
	if all := System().Interfaces(); !slices.Contains(all, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("no loopback in %v", all)
	}
}

// TestChangesEnds sees that the channel is closed soon after its context ended.
func TestChangesEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	changes := System().Changes(ctx)
	cancel()
	late := time.After(10 * time.Second)
	for {
		select {
		case _, open := <-changes:
			if !open {
				return
			}
		case <-late:
			t.Fatal("open still")
		}
	}
}
