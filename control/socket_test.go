package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/network/networktest"
)

// TestNetwork holds sockets through the control socket, on both ends, to the
// specification of every network.
func TestNetwork(t *testing.T) {
	networktest.Run(t, func(t *testing.T) networktest.Pair {
		hub := memory.NewHub()
		dialer, listener := kith.ID{1}, kith.ID{2}
		return networktest.Pair{
			Dialer:   serve(t, &fakeNode{Network: hub.Network(dialer)}, nil),
			Listener: serve(t, &fakeNode{Network: hub.Network(listener)}, nil),
			Address:  func() kith.Address { return kith.Address{} },
			DialerID: dialer, ListenerID: listener,
		}
	})
}

// loopbackNode is a node whose network is TCP on the loopback, where sockets are the
// kernel's.
func loopbackNode() *fakeNode { return &fakeNode{Network: loopback{}} }

type loopback struct{}

func (loopback) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address.String())
}

func (loopback) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(address.Port))))
}

// TestProcessEnds: the port of a program that dies is free, and sockets that it
// had not fetched are closed.
func TestProcessEnds(t *testing.T) {
	c := serve(t, loopbackNode(), nil)
	program, e, err := c.upgrade(t.Context(), "listen", addressRequest{})
	if err != nil {
		t.Fatal(err)
	}
	address := parseAddr(e.Local)
	far, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := io.ReadFull(program, make([]byte, 8)); err != nil { // it was announced, and is not fetched
		t.Fatal(err)
	}
	program.Close() // all that is left of a killed process
	far.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := far.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read of a socket that nobody fetched: %v", err)
	}
	for start := time.Now(); ; {
		ln, err := c.Listen(t.Context(), kith.Address{Port: address.Port})
		if err == nil {
			ln.Close()
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatalf("the port is not free: %v", err)
		}
	}
}

// TestServerEnds: sockets and listeners of programs end with the node.
func TestServerEnds(t *testing.T) {
	var ln net.Listener
	var conn net.Conn
	t.Run("node", func(t *testing.T) {
		c := serve(t, loopbackNode(), nil)
		var err error
		if ln, err = c.Listen(context.Background(), kith.Address{}); err != nil {
			t.Fatal(err)
		}
		if conn, err = c.Dial(context.Background(), parseAddr(ln.Addr().String())); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read of a socket when the node has stopped: %v", err)
	}
	for { // first the sockets that came before
		accepted, err := ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("accept: %v", err)
			}
			break
		}
		accepted.Close()
	}
	if err := ln.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	conn.Close()
}

// TestBrokenSocket: a program learns that a socket broke, after what came
// before; it does not read the end of the stream.
func TestBrokenSocket(t *testing.T) {
	hub := memory.NewHub()
	dialer, listener := kith.ID{1}, kith.ID{2}
	a := serve(t, &fakeNode{Network: hub.Network(dialer)}, nil)
	b := serve(t, &fakeNode{Network: hub.Network(listener)}, nil)
	ln, err := b.Listen(t.Context(), kith.Address{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed, err := a.Dial(t.Context(), parseAddr(ln.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for _, conn := range []net.Conn{dialed, accepted} {
		if _, err := conn.Write([]byte("half a sen")); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range []net.Conn{dialed, accepted} {
		if _, err := io.ReadFull(conn, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	hub.Cut(dialer, listener)
	for name, conn := range map[string]net.Conn{"dialed": dialed, "accepted": accepted} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: read %d bytes, error %v; want why it broke", name, n, err)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
