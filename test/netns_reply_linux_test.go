//go:build bench

package test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/network/underlay"
)

// An outlet is the Internet of a computer of the lab, for an overlay in this
// process.
type outlet struct {
	underlay.Internet
	c *netlab.Computer
}

func (o outlet) ListenTCP(ctx context.Context, host string, port uint16) (l net.Listener, err error) {
	o.c.Inside(func() error {
		l, err = o.Internet.ListenTCP(ctx, host, port)
		return nil
	})
	return l, err
}

func (o outlet) ListenUDP(ctx context.Context, host string, port uint16) (conn net.PacketConn, err error) {
	o.c.Inside(func() error {
		conn, err = o.Internet.ListenUDP(ctx, host, port)
		return nil
	})
	return conn, err
}

func (o outlet) DialTCP(ctx context.Context, address netip.AddrPort) (conn net.Conn, err error) {
	o.c.Inside(func() error {
		conn, err = o.Internet.DialTCP(ctx, address)
		return nil
	})
	return conn, err
}

func (o outlet) Interfaces() (list []netip.Prefix) {
	o.c.Inside(func() error {
		list = o.Internet.Interfaces()
		return nil
	})
	return list
}

// A registry is what members know of where they are seen, as their records would
// tell.
type registry struct {
	mu    sync.Mutex
	reach map[kith.ID]overlay.Reach
}

func (r *registry) of(id kith.ID) overlay.Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reach[id]
}

// open runs an overlay on a computer, which has a public address or none.
func (r *registry) open(t *testing.T, c *netlab.Computer, public netip.Addr, relays ...kith.ID) (*overlay.Overlay, kith.ID) {
	t.Helper()
	const port = 4747
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := kith.IDOf(key.Public().(ed25519.PublicKey))
	var o *overlay.Overlay
	tell := func() {
		reach := o.Reach()
		if public.IsValid() {
			reach.Outside = append(reach.Outside, netip.AddrPortFrom(public, port))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reach[id] = reach
	}
	o = overlay.New(overlay.Config{
		Key: key, Admit: func(kith.ID, []byte) error { return nil }, Internet: outlet{underlay.System(), c},
		Addresses: func(id kith.ID) []netip.AddrPort { return r.of(id).Outside },
		NAT:       func(id kith.ID) string { return r.of(id).NAT },
		Relays:    func(kith.ID) []kith.ID { return relays },
		OnReach:   tell,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { o.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	if _, err := o.Open(ctx, "", port); err != nil {
		t.Fatal(err)
	}
	tell()
	return o, id
}

// TestFirstReply has a host behind NAT call another, to which it has no carrier;
// both have carriers to members that can be reached. It logs how soon the first
// reply comes; where BENCH_LIBP2P is the program of bench/libp2p, also how soon
// with that.
func TestFirstReply(t *testing.T) {
	program := os.Getenv("BENCH_LIBP2P")
	for _, kind := range []netlab.NAT{netlab.PortRestricted, netlab.Symmetric} {
		t.Run(string(kind), func(t *testing.T) { firstReply(t, kind) })
		for _, carrier := range []string{"quic", "tcp"} {
			if program != "" {
				t.Run(string(kind)+", libp2p, "+carrier, func(t *testing.T) { firstReplyOf(t, program, kind, carrier) })
			}
		}
	}
}

func firstReply(t *testing.T, kind netlab.NAT) {
	ctx := t.Context()
	l := netlab.New(t)
	world := l.Internet()
	records := &registry{reach: make(map[kith.ID]overlay.Reach)}
	var relays []kith.ID
	for _, name := range []string{"birch", "elm"} {
		c := world.Host(name)
		_, id := records.open(t, c, world.Address(c))
		relays = append(relays, id)
	}
	maple, _ := records.open(t, l.Home("a", world, kind).Host("maple"), netip.Addr{}, relays...)
	oak, id := records.open(t, l.Home("b", world, kind).Host("oak"), netip.Addr{}, relays...)
	for _, o := range []*overlay.Overlay{maple, oak} {
		for _, relay := range relays {
			if err := o.Connect(ctx, relay); err != nil {
				t.Fatal(err)
			}
		}
	}
	ln, err := oak.Listen(ctx, kith.Address{Host: id.String(), Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := ln.Accept(); err == nil {
			io.Copy(conn, conn)
		}
	}()
	deadline := time.Now().Add(patience)
	for records.of(id).NAT == "" {
		if time.Now().After(deadline) {
			t.Fatal("the kind of NAT is not known")
		}
		<-time.After(10 * time.Millisecond)
	}
	<-time.After(time.Second) // both have what they need to know of each other
	began := time.Now()
	conn, err := maple.Dial(ctx, kith.Address{Host: id.String(), Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(began.Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	took, way := time.Since(began), "none"
	for _, peer := range maple.Peers() {
		if peer.ID == id {
			way = peer.Path
		}
	}
	t.Logf("%s NATs: first reply after %v, %.1f round trips, %s", kind, took.Round(100*time.Microsecond), took.Seconds()/(2*netlab.Latency).Seconds(), way)
}

// firstReplyOf has libp2p do the same.
func firstReplyOf(t *testing.T, program string, kind netlab.NAT, carrier string) {
	l := netlab.New(t)
	world := l.Internet()
	birch := world.Host("birch")
	run := program + " %s -carrier " + carrier
	printed := birch.Start(strings.ReplaceAll(run, "%s", "relay"), t.TempDir()).Printed
	relay := ""
	for line := range strings.Lines(printed) {
		if strings.Contains(line, world.Address(birch).String()) {
			relay = strings.TrimSpace(line)
		}
	}
	run += " -relay " + relay
	printed = l.Home("b", world, kind).Host("oak").Start(strings.ReplaceAll(run, "%s", "listen"), t.TempDir()).Printed
	first, _, _ := strings.Cut(printed, "\n")
	cmd := l.Home("a", world, kind).Host("maple").Command(
		"exec "+strings.ReplaceAll(run, "%s", "reply")+" "+relay+"/p2p-circuit/p2p/"+path.Base(first), t.TempDir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	for said := bufio.NewScanner(out); said.Scan(); {
		t.Log(said.Text())
		if said.Text() == "ready" {
			<-time.After(5 * time.Second) // until the other has its place at the relay
			io.WriteString(in, "\n")
		}
	}
}
