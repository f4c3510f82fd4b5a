package test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/log"

	"kith.alt/kith/control"
)

// dht starts a BitTorrent DHT of a few nodes on computers of their own, and
// returns its addresses as flags take them.
func (n *internet) dht(names ...string) (bootstrap string) {
	t := n.lab.t
	t.Helper()
	quiet := log.NewLogger()
	quiet.SetHandlers(log.DiscardHandler)
	var addresses []string
	var first net.Addr
	var servers []*dht.Server
	for _, name := range names {
		c := n.host(name)
		conn := c.listenUDP(n.address(c).String() + ":6881")
		if first == nil {
			first = conn.LocalAddr()
		}
		config := dht.NewDefaultServerConfig()
		config.Conn, config.NoSecurity, config.Logger = conn, true, quiet
		config.Store, config.Exp = bep44.NewMemory(), time.Hour
		config.StartingNodes = func() ([]dht.Addr, error) { return []dht.Addr{dht.NewAddr(first)}, nil }
		server, err := dht.NewServer(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		servers = append(servers, server)
		addresses = append(addresses, conn.LocalAddr().String())
	}
	for range 2 { // the early ones hear of the late ones
		for _, server := range servers {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			server.BootstrapContext(ctx)
			cancel()
		}
	}
	return strings.Join(addresses, ",")
}

// TestFirstPair has two homes, both behind NAT, and nobody else: they meet
// through the DHT, and punch.
func TestFirstPair(t *testing.T) {
	t.Parallel()
	await(t)
	l := newLab(t)
	world := l.internet()
	bootstrap := world.dht("ash", "beech", "elm", "fir")
	maple := l.member(l.home("a", world, portRestricted).host("maple"))
	oak := l.member(l.home("b", world, portRestricted).host("oak"))
	maple.up("--name maple --dht-bootstrap " + bootstrap)
	maple.publish()
	oak.join(maple.invite("--introduce dht") + " --dht-bootstrap " + bootstrap)
	oak.publish()
	maple.reaches(oak, control.PathDirect)
	oak.reaches(maple, control.PathDirect)
	maple.reads(oak)
	oak.reads(maple)
}
