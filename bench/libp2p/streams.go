package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/multiformats/go-multiaddr"

	"kith.alt/kith/bench/measure"
)

const plainTLS = "TLS 1.3 over TCP"

// streams prints the table of bench/overlay.
func streams(ctx context.Context, o measure.Options) error {
	server := new(measure.Server)
	base, err := startTLS(ctx, server)
	if err != nil {
		return err
	}
	list := []measure.Way{base}
	for _, carrier := range []string{"tcp", "quic"} {
		direct, err := startDirect(ctx, server, carrier)
		if err != nil {
			return err
		}
		relayed, err := startRelayed(ctx, server, carrier)
		if err != nil {
			return err
		}
		list = append(list, direct, relayed)
	}
	rows, err := server.Measure(ctx, list, o)
	if err != nil {
		return err
	}
	measure.Report(rows, nil)
	return nil
}

func startTLS(ctx context.Context, server *measure.Server) (measure.Way, error) {
	config, err := measure.MutualTLS()
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

func startDirect(ctx context.Context, server *measure.Server, carrier string) (measure.Way, error) {
	near, err := newHost("near", carrier, "127.0.0.1:0")
	if err != nil {
		return measure.Way{}, err
	}
	far, err := newHost("far", carrier, "127.0.0.1:0")
	if err != nil {
		return measure.Way{}, err
	}
	serve(far, server)
	near.Peerstore().AddAddrs(far.ID(), far.Addrs(), time.Hour)
	return measure.Way{Name: "libp2p, " + carrier, Beside: plainTLS, Dial: dial(near, far.ID())}, nil
}

// startRelayed has two hosts that know no address of each other but the relay's.
func startRelayed(ctx context.Context, server *measure.Server, carrier string) (measure.Way, error) {
	relay, err := newHost("relay", carrier, "127.0.0.1:0", asRelay()...)
	if err != nil {
		return measure.Way{}, err
	}
	var hosts [2]host.Host
	for i := range hosts {
		if hosts[i], err = newHost(fmt.Sprint("relayed ", i), carrier, "127.0.0.1:0", libp2p.EnableRelay()); err != nil {
			return measure.Way{}, err
		}
	}
	near, far := hosts[0], hosts[1]
	serve(far, server)
	at := peer.AddrInfo{ID: relay.ID(), Addrs: relay.Addrs()}
	if err := near.Connect(ctx, at); err != nil {
		return measure.Way{}, err
	}
	if _, err := client.Reserve(ctx, far, at); err != nil {
		return measure.Way{}, fmt.Errorf("reserve: %w", err)
	}
	near.Peerstore().AddAddr(far.ID(), through(at), time.Hour)
	return measure.Way{Name: "libp2p, relayed over " + carrier, Beside: "libp2p, " + carrier, Dial: dial(near, far.ID())}, nil
}

// through is the address of whoever has a reservation with the relay.
func through(relay peer.AddrInfo) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("%s/p2p/%s/p2p-circuit", relay.Addrs[0], relay.ID))
}

func dial(from host.Host, to peer.ID) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		s, err := from.NewStream(ctx, to, bench)
		return conn{s}, err
	}
}

func serve(h host.Host, server *measure.Server) {
	h.SetStreamHandler(bench, func(s network.Stream) { server.Answer(conn{s}) })
}
