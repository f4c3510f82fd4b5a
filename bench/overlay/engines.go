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
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/network/overlay"
)

// The ways, by name.
const (
	plainTCP = "TCP"
	plainTLS = "TLS 1.3 over TCP"
	rawQUIC  = "quic-go"
	overTLS  = "overlay, tls"
	overQUIC = "overlay, quic"
)

// ways starts all servers; they stop when ctx ends. Those that lead through a
// relay have it in relays, by name.
func ways(ctx context.Context, server *measure.Server) (list []measure.Way, relays map[string]*overlay.Overlay, err error) {
	relays = make(map[string]*overlay.Overlay)
	relayed := func(carrier string) func(context.Context, *measure.Server) (measure.Way, error) {
		return func(ctx context.Context, server *measure.Server) (measure.Way, error) {
			w, relay, err := startRelayed(ctx, server, carrier)
			relays[w.Name] = relay
			return w, err
		}
	}
	for _, start := range []func(context.Context, *measure.Server) (measure.Way, error){
		startTCP, startTLS, startQUIC, startOverlay(overTLS, "tls", plainTLS), startOverlay(overQUIC, "quic", rawQUIC),
		relayed("tls"), relayed("quic"),
	} {
		w, err := start(ctx, server)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, w)
	}
	return list, relays, nil
}

func startTCP(ctx context.Context, server *measure.Server) (measure.Way, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return measure.Way{}, err
	}
	go server.Serve(ctx, l)
	return measure.Way{Name: plainTCP, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}, nil
}

func startTLS(ctx context.Context, server *measure.Server) (measure.Way, error) {
	config, err := mutual()
	if err != nil {
		return measure.Way{}, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return measure.Way{}, err
	}
	go server.Serve(ctx, l)
	return measure.Way{Name: plainTLS, Dial: func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", l.Addr().String())
	}}, nil
}

func startQUIC(ctx context.Context, server *measure.Server) (measure.Way, error) {
	config, err := mutual()
	if err != nil {
		return measure.Way{}, err
	}
	settings := &quic.Config{MaxStreamReceiveWindow: 16 << 20, MaxConnectionReceiveWindow: 32 << 20, MaxIncomingStreams: 4096}
	l, err := quic.ListenAddr("127.0.0.1:0", config, settings)
	if err != nil {
		return measure.Way{}, err
	}
	go func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			go server.Serve(ctx, quicListener{l, conn})
		}
	}()
	conn, err := quic.DialAddr(ctx, l.Addr().String(), config, settings)
	if err != nil {
		return measure.Way{}, err
	}
	return measure.Way{Name: rawQUIC, Dial: func(ctx context.Context) (net.Conn, error) {
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

func startOverlay(name, carrier, beside string) func(context.Context, *measure.Server) (measure.Way, error) {
	return func(ctx context.Context, server *measure.Server) (measure.Way, error) {
		nodes, err := startNodes(ctx, 2, carrier, func(*overlay.Config, []node) {})
		if err != nil {
			return measure.Way{}, err
		}
		w, err := between(ctx, server, nodes[0], nodes[1])
		w.Name, w.Beside = name, beside
		return w, err
	}
}

// between has a host listen for another, and connects the two.
func between(ctx context.Context, server *measure.Server, near, far node) (measure.Way, error) {
	address := kith.Address{Host: far.id.String(), Port: 80}
	l, err := far.Listen(ctx, address)
	if err != nil {
		return measure.Way{}, err
	}
	go server.Serve(ctx, l)
	return measure.Way{Dial: func(ctx context.Context) (net.Conn, error) { return near.Dial(ctx, address) }}, near.Connect(ctx, far.id)
}

type node struct {
	*overlay.Overlay
	id kith.ID
}

// startNodes returns overlays that admit each other and know where they are.
func startNodes(ctx context.Context, count int, carrier string, adapt func(*overlay.Config, []node)) ([]node, error) {
	nodes := make([]node, count)
	where := make(map[kith.ID][]netip.AddrPort)
	for i := range nodes {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		config := overlay.Config{
			Key:       key,
			Admit:     func(kith.ID, []byte) error { return nil },
			Addresses: func(id kith.ID) []netip.AddrPort { return where[id] },
			Carriers:  []string{carrier},
		}
		adapt(&config, nodes)
		o := overlay.New(config)
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
	config, err := measure.MutualTLS()
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
