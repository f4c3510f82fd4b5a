package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"kith.alt/kith/proto/socks"
)

// tunnels measures bytes through the proxy beside a bare copy between two
// sockets, and prints the second table.
func tunnels(ctx context.Context, o options) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	listen := func() (net.Listener, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			context.AfterFunc(ctx, func() { l.Close() })
		}
		return l, err
	}
	source, err := listen() // sends until nobody reads
	if err != nil {
		return err
	}
	running.Go(func() {
		accept(&running, source, func(c net.Conn) { io.Copy(struct{ io.Writer }{c}, zeros{}) })
	})
	bare, err := listen()
	if err != nil {
		return err
	}
	running.Go(func() {
		accept(&running, bare, func(c net.Conn) {
			target, err := net.Dial("tcp", source.Addr().String())
			if err != nil {
				return
			}
			defer target.Close()
			io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{target}, make([]byte, 32<<10))
		})
	})
	proxy, err := listen()
	if err != nil {
		return err
	}
	g := newGateway(source.Addr().String(), 0)
	running.Go(func() { g.Serve(ctx, nil, proxy) })

	hops := []struct {
		name string
		dial func() (net.Conn, error)
	}{
		{"bare copy", func() (net.Conn, error) { return net.Dial("tcp", bare.Addr().String()) }},
		{"SOCKS", func() (net.Conn, error) {
			conn, err := net.Dial("tcp", proxy.Addr().String())
			if err != nil {
				return nil, err
			}
			return conn, socks.Connect(conn, socks.Request{Command: socks.CommandConnect, Name: "maple", Port: 7})
		}},
	}
	rates := make([][]float64, len(hops))
	for range o.rounds {
		for i, hop := range hops {
			conn, err := hop.dial()
			if err != nil {
				return fmt.Errorf("%s: %w", hop.name, err)
			}
			began := time.Now()
			conn.SetDeadline(began.Add(o.lasts))
			n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 64<<10))
			rates[i] = append(rates[i], float64(n)/time.Since(began).Seconds()/(1<<20))
			conn.Close()
		}
	}
	self := func(f float64) float64 { return f }
	fmt.Println("\n| two hops | MiB/s | of the bare copy |\n|---|---:|---:|")
	for i, hop := range hops {
		rate := median(rates[i], self)
		fmt.Printf("| %s | %.0f | %.2f |\n", hop.name, rate, rate/median(rates[0], self))
	}
	return nil
}

func accept(running *sync.WaitGroup, l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		running.Go(func() { defer conn.Close(); serve(conn) })
	}
}

// zeros is an endless source.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
