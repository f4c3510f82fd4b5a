package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"

	"github.com/quic-go/quic-go"

	"kith.alt/kith"
	"kith.alt/kith/bench/harness"
	"kith.alt/kith/network/overlay"
)

// An engine is a way from a client to a server on this machine.
type engine struct {
	name string
	dial func(context.Context) (net.Conn, error)
}

// engines starts all servers; they stop when ctx ends.
func engines(ctx context.Context) ([]engine, error) {
	var list []engine
	for _, start := range []func(context.Context) (engine, error){
		startTCP, startTLS, startQUIC,
		func(ctx context.Context) (engine, error) { return startOverlay(ctx, "tls") },
		func(ctx context.Context) (engine, error) { return startOverlay(ctx, "quic") },
	} {
		e, err := start(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func startTCP(ctx context.Context) (engine, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return engine{}, err
	}
	go serve(ctx, l)
	return engine{"TCP", func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}, nil
}

func startTLS(ctx context.Context) (engine, error) {
	config, err := mutual()
	if err != nil {
		return engine{}, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return engine{}, err
	}
	go serve(ctx, l)
	return engine{"TLS 1.3 over TCP", func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", l.Addr().String())
	}}, nil
}

func startQUIC(ctx context.Context) (engine, error) {
	config, err := mutual()
	if err != nil {
		return engine{}, err
	}
	settings := &quic.Config{MaxStreamReceiveWindow: 16 << 20, MaxConnectionReceiveWindow: 32 << 20, MaxIncomingStreams: 4096}
	l, err := quic.ListenAddr("127.0.0.1:0", config, settings)
	if err != nil {
		return engine{}, err
	}
	go func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			go serve(ctx, quicListener{l, conn})
		}
	}()
	conn, err := quic.DialAddr(ctx, l.Addr().String(), config, settings)
	if err != nil {
		return engine{}, err
	}
	return engine{"quic-go", func(ctx context.Context) (net.Conn, error) {
		s, err := conn.OpenStreamSync(ctx)
		return quicConn{s, conn}, err
	}}, nil
}

// quicListener accepts the streams of one connection.
type quicListener struct {
	*quic.Listener
	conn *quic.Conn
}

func (l quicListener) Accept() (net.Conn, error) {
	s, err := l.conn.AcceptStream(context.Background())
	return quicConn{s, l.conn}, err
}

type quicConn struct {
	*quic.Stream
	conn *quic.Conn
}

func (c quicConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c quicConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }
func (c quicConn) Close() error         { c.CancelRead(0); return c.Stream.Close() }

func startOverlay(ctx context.Context, carrier string) (engine, error) {
	nodes, err := startNodes(ctx, 2, carrier)
	if err != nil {
		return engine{}, err
	}
	address := kith.Address{Host: nodes[1].id.String(), Port: 80}
	l, err := nodes[1].Listen(ctx, address)
	if err != nil {
		return engine{}, err
	}
	go serve(ctx, l)
	return engine{"overlay, " + carrier, func(ctx context.Context) (net.Conn, error) {
		return nodes[0].Dial(ctx, address)
	}}, nodes[0].Connect(ctx, nodes[1].id)
}

type node struct {
	*overlay.Overlay
	id kith.ID
}

// startNodes returns overlays that admit each other and know where they are.
func startNodes(ctx context.Context, count int, carrier string) ([]node, error) {
	nodes := make([]node, count)
	where := make(map[kith.ID][]netip.AddrPort)
	for i := range nodes {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		o := overlay.New(overlay.Config{
			Key:       key,
			Admit:     func(kith.ID, []byte) error { return nil },
			Addresses: func(id kith.ID) []netip.AddrPort { return where[id] },
			Carriers:  []string{carrier},
		})
		go o.Serve(ctx)
		address, err := o.Open(ctx, "127.0.0.1", 0)
		if err != nil {
			return nil, err
		}
		nodes[i] = node{o, kith.IDOf(public)}
		where[nodes[i].id] = []netip.AddrPort{address}
	}
	return nodes, nil
}

// mutual is a TLS configuration for both ends, as the overlay's: one key,
// pinned, no session tickets.
func mutual() (*tls.Config, error) {
	config, err := harness.MutualTLS()
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{"bench"}
	own := config.Certificates[0].Certificate[0]
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if !bytes.Equal(state.PeerCertificates[0].Raw, own) {
			return x509.ErrUnsupportedAlgorithm
		}
		return nil
	}
	return config, nil
}
