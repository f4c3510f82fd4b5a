package test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/log"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/network/rendezvous"
)

// startDHT starts a BitTorrent DHT of a few nodes on computers of their own,
// and returns its addresses as flags take them.
func startDHT(t *testing.T, n *netlab.Internet, names ...string) (bootstrap string) {
	t.Helper()
	quiet := log.NewLogger()
	quiet.SetHandlers(log.DiscardHandler)
	var addresses []string
	var first net.Addr
	var servers []*dht.Server
	for _, name := range names {
		c := n.Host(name)
		conn := c.ListenUDP(n.Address(c).String() + ":6881")
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

// TestRendezvous has two hosts, with nothing but a secret in common, learn from
// the DHT where the other one's router can be reached.
func TestRendezvous(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	world := l.Internet()
	bootstrap := strings.Split(startDHT(t, world, "ash", "beech", "elm", "fir"), ",")
	a, b := l.Home("a", world, netlab.PortRestricted), l.Home("b", world, netlab.PortRestricted)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	meet := func(home *netlab.Router, name string, id kith.ID) <-chan rendezvous.Meeting {
		conn := home.Host(name).ListenUDP("192.168.1.10:4747")
		r := rendezvous.New(rendezvous.Config{Conn: conn, Bootstrap: bootstrap, Log: slog.New(slog.DiscardHandler)})
		go r.Serve(ctx)
		met := make(chan rendezvous.Meeting)
		go func() {
			defer close(met)
			for m := range r.Meet(ctx, [32]byte{1}, id, r.Outside) {
				select {
				case met <- m:
				case <-ctx.Done():
				}
			}
		}()
		return met
	}
	atMaple, atOak := meet(a, "maple", kith.ID{1}), meet(b, "oak", kith.ID{2})
	for _, side := range []struct {
		met   <-chan rendezvous.Meeting
		peer  kith.ID
		where *netlab.Router
	}{{atMaple, kith.ID{2}, b}, {atOak, kith.ID{1}, a}} {
		want := netip.AddrPortFrom(world.Address(side.where.Computer), 4747)
		found := false
		for m := range side.met {
			if found = m.Peer == side.peer && slices.Contains(m.Addresses, want); found {
				break
			}
			t.Logf("met %s at %v", m.Peer.Short(), m.Addresses)
		}
		if !found {
			t.Errorf("nobody is met at %v", want)
		}
	}
}

// TestFirstPair has two homes, both behind NAT, and nobody else: they meet
// through the DHT, and punch.
func TestFirstPair(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	world := l.Internet()
	bootstrap := startDHT(t, world, "ash", "beech", "elm", "fir")
	maple := l.Member(l.Home("a", world, netlab.PortRestricted).Host("maple"))
	oak := l.Member(l.Home("b", world, netlab.PortRestricted).Host("oak"))
	maple.Up("--name maple --dht-bootstrap " + bootstrap)
	maple.Publish()
	oak.Join(maple.Invite("--introduce dht") + " --dht-bootstrap " + bootstrap)
	oak.Publish()
	maple.Reaches(oak, control.PathDirect)
	oak.Reaches(maple, control.PathDirect)
	maple.Reads(oak)
	oak.Reads(maple)
}
