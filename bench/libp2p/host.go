package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// bench is the one protocol that is spoken.
const bench = protocol.ID("/bench/1")

// newHost makes a host that listens at an address, host:port, by one carrier,
// "tcp" or "quic". Its key follows from its name.
func newHost(name, carrier, address string, more ...libp2p.Option) (host.Host, error) {
	seed := sha256.Sum256([]byte(name))
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed[:]))
	if err != nil {
		return nil, err
	}
	ip, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	options := []libp2p.Option{
		libp2p.Identity(key), libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}
	switch carrier {
	case "tcp":
		options = append(options, libp2p.Transport(tcp.NewTCPTransport), libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/tcp/%s", ip, port)))
	case "quic":
		options = append(options, libp2p.Transport(quic.NewTransport), libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/udp/%s/quic-v1", ip, port)))
	default:
		return nil, fmt.Errorf("carrier %q: want tcp or quic", carrier)
	}
	return libp2p.New(append(options, more...)...)
}

// asRelay are the options of a host that relays without limits.
func asRelay() []libp2p.Option {
	return []libp2p.Option{libp2p.EnableRelayService(relay.WithInfiniteLimits()), libp2p.ForceReachabilityPublic()}
}

// behind are the options of a host that is reached through a relay, and punches.
// The defaults would have it wait for minutes.
func behind(relay peer.AddrInfo) []libp2p.Option {
	return []libp2p.Option{
		libp2p.EnableRelay(), libp2p.EnableHolePunching(), libp2p.ForceReachabilityPrivate(),
		libp2p.EnableAutoRelayWithStaticRelays([]peer.AddrInfo{relay}, autorelay.WithBootDelay(0),
			autorelay.WithBackoff(5*time.Second), autorelay.WithMinInterval(2*time.Second)),
	}
}

// addresses returns where a host can be dialled, each with its ID.
func addresses(h host.Host) (list []string, err error) {
	all, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	for _, a := range all {
		list = append(list, a.String())
	}
	return list, err
}

// A conn is a stream as a net.Conn.
type conn struct{ network.Stream }

func (conn) LocalAddr() net.Addr  { return nil }
func (conn) RemoteAddr() net.Addr { return nil }

func isRelayed(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}
