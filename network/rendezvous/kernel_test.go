package rendezvous

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/log"
	"golang.org/x/time/rate"
)

// The same on sockets of the kernel, whose deadlines and addresses are its own.
func TestKernel(t *testing.T) {
	t.Parallel()
	listen := func() net.PacketConn {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	quiet := log.NewLogger()
	quiet.SetHandlers(silence{})
	router := listen()
	starting := func() ([]dht.Addr, error) { return []dht.Addr{dht.NewAddr(router.LocalAddr())}, nil }
	for i := range 4 {
		config := dht.ServerConfig{Conn: router, NoSecurity: true, Logger: quiet, Exp: time.Hour,
			SendLimiter: rate.NewLimiter(rate.Inf, 1), StartingNodes: starting}
		if i > 0 {
			config.Conn = listen()
		}
		server, err := dht.NewServer(&config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		if _, err := server.BootstrapContext(t.Context()); err != nil && i > 0 {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	oakConn, mapleConn := listen(), listen()
	oak := New(Config{Conn: oakConn, Bootstrap: []string{router.LocalAddr().String()}, Log: slogDiscard})
	maple := New(Config{Conn: mapleConn, Bootstrap: []string{router.LocalAddr().String()}, Log: slogDiscard})
	served := make(chan error, 2)
	for _, r := range []*Rendezvous{oak, maple} {
		go func() { served <- r.Serve(ctx) }()
	}
	of := func(c net.PacketConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }
	oakID, mapleID := newID(t), newID(t)
	atOak := meet(ctx, oak, [32]byte{1}, oakID, func() []netip.AddrPort { return []netip.AddrPort{of(oakConn)} })
	atMaple := meet(ctx, maple, [32]byte{1}, mapleID, func() []netip.AddrPort { return []netip.AddrPort{of(mapleConn)} })
	next(t, atOak, mapleID, of(mapleConn).String())
	next(t, atMaple, oakID, of(oakConn).String())
	stop()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	if _, err := mapleConn.WriteTo([]byte("hello"), oakConn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	oakConn.SetReadDeadline(time.Now().Add(time.Minute))
	for b := make([]byte, 2000); ; { // late answers of the DHT may come first
		n, _, err := oakConn.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:n]) == "hello" {
			return
		}
	}
}
