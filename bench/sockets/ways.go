package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	"kith.alt/kith"
	"kith.alt/kith/bench/harness"
	"kith.alt/kith/client"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/proto/socks"
)

const (
	bareUnix  = "bare copy: unix, TLS, unix"
	bareTCP   = "bare copy: TCP, TLS, TCP"
	barePlain = "bare copy: TCP, TCP, TCP"
)

// A way leads from a program to a server, both in this process.
type way struct {
	name string
	peer string // the way that it is measured beside; "": none
	dial func(context.Context) (net.Conn, error)
}

// ways starts all servers and what leads to them; they stop when ctx ends.
func ways(ctx context.Context, b *harness.Bench) ([]way, error) {
	nodes, err := b.Group(ctx, 2)
	if err != nil {
		return nil, err
	}
	var list []way
	for _, start := range []func() (way, error){
		func() (way, error) { return startBare(ctx, b, bareUnix, "unix", "tls", "unix") },
		func() (way, error) { return startClient(ctx, nodes[0], nodes[1]) },
		func() (way, error) { return startBare(ctx, b, bareTCP, "tcp", "tls", "tcp") },
		func() (way, error) { return startSOCKS(ctx, nodes[0], nodes[1]) },
		func() (way, error) { return startBare(ctx, b, barePlain, "tcp", "tcp", "tcp") },
		func() (way, error) { return startOverlay(ctx) },
	} {
		w, err := start()
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// startBare runs two copiers; the networks are those of the three hops.
func startBare(ctx context.Context, b *harness.Bench, name, first, between, last string) (way, error) {
	address := func(network, file string) string {
		if network == "unix" {
			return filepath.Join(b.Dir, file)
		}
		return "127.0.0.1:0"
	}
	l, err := net.Listen(last, address(last, "server"))
	if err != nil {
		return way{}, err
	}
	go serve(ctx, l)
	far, err := b.Peer(ctx, "copier", between, "127.0.0.1:0", last, l.Addr().String())
	if err != nil {
		return way{}, err
	}
	near, err := b.Peer(ctx, "copier", first, address(first, "copier"), between, far)
	if err != nil {
		return way{}, err
	}
	return way{name, "", func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, first, near) }}, nil
}

func startClient(ctx context.Context, near, far *harness.Node) (way, error) {
	l, err := client.At(far.Data).Listen(ctx, ":7000")
	if err != nil {
		return way{}, err
	}
	go serve(ctx, l)
	dialler := client.At(near.Data)
	return way{"package client", bareUnix, func(ctx context.Context) (net.Conn, error) { return dialler.Dial(ctx, far.Name+":7000") }}, nil
}

func startSOCKS(ctx context.Context, near, far *harness.Node) (way, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return way{}, err
	}
	go serve(ctx, l)
	port := l.Addr().(*net.TCPAddr).Port
	if err := far.Run(ctx, "expose", strconv.Itoa(port)); err != nil {
		return way{}, err
	}
	proxy, err := near.Listener(ctx, "proxy")
	if err != nil {
		return way{}, err
	}
	return way{"SOCKS5 and kith expose", bareTCP, func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", proxy)
		if err != nil {
			return nil, err
		}
		return conn, socks.Connect(conn, socks.Request{Command: socks.CommandConnect, Name: far.Name, Port: uint16(port)})
	}}, nil
}

// startOverlay runs two overlays in this process that admit each other.
func startOverlay(ctx context.Context) (way, error) {
	var overlays [2]*overlay.Overlay
	where := make(map[kith.ID][]netip.AddrPort)
	address := kith.Address{Port: 7000}
	for i := range overlays {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return way{}, err
		}
		overlays[i] = overlay.New(overlay.Config{
			Key:       key,
			Admit:     func(kith.ID, []byte) error { return nil },
			Addresses: func(id kith.ID) []netip.AddrPort { return where[id] },
		})
		go overlays[i].Serve(ctx)
		at, err := overlays[i].Open(ctx, "127.0.0.1", 0)
		if err != nil {
			return way{}, err
		}
		id := kith.IDOf(public)
		where[id], address.Host = []netip.AddrPort{at}, id.String()
	}
	l, err := overlays[1].Listen(ctx, address)
	if err != nil {
		return way{}, err
	}
	go serve(ctx, l)
	return way{"overlay alone", "", func(ctx context.Context) (net.Conn, error) { return overlays[0].Dial(ctx, address) }}, nil
}
