package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"

	"kith.alt/kith/bench/measure"
)

// copier is the role of a process that copies each connection to one address
// to a connection to another, both ways. Its arguments are network and address
// to listen on, and network and address to dial. It says where it listens.
func copier(ctx context.Context, args []string, ready func(string)) error {
	config, err := measure.MutualTLS()
	if err != nil {
		return err
	}
	l, err := listen(args[0], args[1], config)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	ready(l.Addr().String())
	for {
		near, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer near.Close()
			far, err := dial(ctx, args[2], args[3], config)
			if err != nil {
				return
			}
			join(near, far)
		}()
	}
}

func listen(network, address string, config *tls.Config) (net.Listener, error) {
	if network == "tls" {
		return tls.Listen("tcp", address, config)
	}
	return net.Listen(network, address)
}

func dial(ctx context.Context, network, address string, config *tls.Config) (net.Conn, error) {
	if network == "tls" {
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// join copies both ways until either ends.
func join(a, b net.Conn) {
	var ways sync.WaitGroup
	carry := func(to, from net.Conn) {
		copyAll(to, from)
		to.Close()
		from.Close()
	}
	ways.Go(func() { carry(a, b) })
	carry(b, a)
	ways.Wait()
}

func copyAll(to, from net.Conn) {
	_, kernel := to.(syscall.Conn)
	if _, also := from.(syscall.Conn); kernel && also {
		io.Copy(to, from)
		return
	}
	io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, blockSize))
}
