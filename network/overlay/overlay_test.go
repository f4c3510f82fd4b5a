package overlay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/networktest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

var bothCarriers = []string{carrierTLS, carrierQUIC}

// A club is a group for tests: who is in it, and where they are.
type club struct {
	mu        sync.Mutex
	members   map[kith.ID]bool
	addresses map[kith.ID][]netip.AddrPort
}

func newClub() *club {
	return &club{members: make(map[kith.ID]bool), addresses: make(map[kith.ID][]netip.AddrPort)}
}

func (c *club) admit(id kith.ID, proof []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(proof) == "ticket of "+id.String() {
		c.members[id] = true
	}
	if !c.members[id] {
		return fmt.Errorf("the club does not know it: %w", kith.NotMember)
	}
	return nil
}

func (c *club) set(id kith.ID, member bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[id] = member
}

func (c *club) place(id kith.ID, addresses ...netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses[id] = addresses
}

func (c *club) where(id kith.ID) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses[id]
}

// newKey returns a key that follows from seed.
func newKey(seed int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%32d", seed))
}

func idOf(key ed25519.PrivateKey) kith.ID { return kith.IDOf(key.Public().(ed25519.PublicKey)) }

// member runs an overlay that is in the club and open on loopback until the
// test ends.
func (c *club) member(t testing.TB, seed int, change ...func(*Config)) *Overlay {
	o := c.stranger(t, seed, change...)
	c.set(o.id, true)
	return o
}

// stranger is a member that the club does not know.
func (c *club) stranger(t testing.TB, seed int, change ...func(*Config)) *Overlay {
	t.Helper()
	config := Config{Key: newKey(seed), Admit: c.admit, Addresses: c.where}
	for _, f := range change {
		f(&config)
	}
	o := New(config)
	serve(t, o)
	address, err := o.Open(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	c.place(o.id, address)
	return o
}

// serve runs o until the test ends, or until the function returned is called.
func serve(t testing.TB, o *Overlay) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func only(carriers ...string) func(*Config) {
	return func(c *Config) { c.Carriers = carriers }
}

func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for start := time.Now(); !condition(); <-time.After(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// connected returns both ends of a socket from a to b.
func connected(t testing.TB, a, b *Overlay) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := b.Listen(t.Context(), kith.Address{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err = a.Dial(t.Context(), l.Addr().(kith.Address))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialed.Close()
		accepted.Close()
	})
	return dialed, accepted
}

func exchange(t testing.TB, a, b net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := way[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "hello" {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	silent := func(t *testing.T) netip.AddrPort { // accepts TCP, and says nothing
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
	for _, carriers := range [][]string{{carrierTLS}, {carrierQUIC}, {carrierSelf}} {
		t.Run(carriers[0], func(t *testing.T) {
			networktest.Run(t, func(t *testing.T) networktest.Pair {
				c := newClub()
				if carriers[0] == carrierSelf {
					a := c.member(t, 1)
					return networktest.Pair{Dialer: a, Listener: a, DialerID: a.id, ListenerID: a.id,
						Address: func() kith.Address { return kith.Address{} }}
				}
				a, b := c.member(t, 1, only(carriers...)), c.member(t, 2, only(carriers...))
				return networktest.Pair{Dialer: a, Listener: b, DialerID: a.id, ListenerID: b.id,
					Address: func() kith.Address { return kith.Address{} },
					Silent: func(t *testing.T) kith.Address {
						id := idOf(newKey(9))
						c.set(id, true)
						c.place(id, silent(t))
						return kith.Address{Host: id.String(), Port: 80}
					}}
			})
		})
	}
}

func TestStrangerIsRefused(t *testing.T) {
	for _, carrier := range bothCarriers {
		t.Run(carrier, func(t *testing.T) {
			c := newClub()
			inside, outside := c.member(t, 1, only(carrier)), newClub().stranger(t, 2, only(carrier), func(config *Config) {
				config.Admit = func(kith.ID, []byte) error { return nil }
				config.Addresses = c.where
			})
			_, err := outside.Dial(t.Context(), kith.Address{Host: inside.id.String(), Port: 80})
			if !errors.Is(err, kith.NotMember) || !bytes.Contains([]byte(err.Error()), []byte("the club does not know it")) {
				t.Errorf("stranger dials: %v, want kind %q and the acceptor's reason", err, kith.NotMember)
			}
			c.place(outside.id, netip.MustParseAddrPort("127.0.0.1:1"))
			if _, err := inside.Dial(t.Context(), kith.Address{Host: outside.id.String(), Port: 80}); !errors.Is(err, kith.NotMember) {
				t.Errorf("member dials a stranger: %v, want kind %q", err, kith.NotMember)
			}
			if n := len(inside.Peers()) + len(outside.Peers()); n != 0 {
				t.Errorf("%d carriers are up", n)
			}
		})
	}
}

// TestDiallerRefusesAcceptor has the dialler change its mind about the
// acceptor while the handshake runs: neither side may count the carrier as up.
func TestDiallerRefusesAcceptor(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a := c.member(t, 1, only(carrier), func(config *Config) {
			asked := 0
			config.Admit = func(id kith.ID, proof []byte) error {
				if asked++; asked > 1 {
					return kith.NotMember
				}
				return nil
			}
		})
		b := c.member(t, 2, only(carrier), func(config *Config) {
			config.OnPeer = func(kith.ID, bool) { t.Error("the acceptor counts the carrier as up") }
		})
		if err := a.Connect(t.Context(), b.id); !errors.Is(err, kith.NotMember) {
			t.Errorf("%s: %v, want kind %q", carrier, err, kith.NotMember)
		}
	}
}

func TestProofAdmits(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a := c.member(t, 1, only(carrier))
		b := c.stranger(t, 2, only(carrier), func(config *Config) {
			config.Admit = func(kith.ID, []byte) error { return nil }
			config.Proof = func() []byte { return []byte("ticket of " + idOf(config.Key).String()) }
		})
		if err := b.Connect(t.Context(), a.id); err != nil {
			t.Errorf("%s: dialler with a proof: %v", carrier, err)
		}
		if peers := a.Peers(); len(peers) != 1 || peers[0].ID != b.id || peers[0].Carrier != carrier {
			waitFor(t, "the acceptor's carrier", func() bool { return len(a.Peers()) == 1 })
		}
	}
}

// TestWrongKeyAtAddress dials a host where another one lives by now.
func TestWrongKeyAtAddress(t *testing.T) {
	for _, carriers := range [][]string{{carrierTLS}, {carrierQUIC}, bothCarriers} {
		c := newClub()
		a, b := c.member(t, 1, only(carriers...)), c.member(t, 2)
		gone := idOf(newKey(3))
		c.set(gone, true)
		c.place(gone, c.where(b.id)...)
		_, err := a.Dial(t.Context(), kith.Address{Host: gone.String(), Port: 80})
		if !errors.Is(err, kith.Unreachable) {
			t.Errorf("%v: %v, want kind %q", carriers, err, kith.Unreachable)
		}
		if len(b.Peers()) != 0 {
			t.Errorf("%v: the other host has a carrier", carriers)
		}
	}
}

func TestDialFindsTheOneGoodAddress(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	good := c.where(b.id)[0]
	c.place(b.id, netip.MustParseAddrPort("127.0.0.1:1"), c.where(a.id)[0], good)
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	if peers := a.Peers(); len(peers) != 1 || peers[0].Address != good || peers[0].Carrier != carrierTLS || !peers[0].Dialled {
		t.Errorf("peers %+v, want tls at %s", peers, good)
	}
}

// TestQUICWhereTCPIsBlocked has a firewall that lets UDP through only.
func TestQUICWhereTCPIsBlocked(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	b.door.tcp.Close()
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	if peers := a.Peers(); len(peers) != 1 || peers[0].Carrier != carrierQUIC {
		t.Errorf("peers %+v, want quic", peers)
	}
}

// TestDrop revokes a peer while sockets to it are open, one of them with
// bytes that were not read.
func TestDrop(t *testing.T) {
	for _, carrier := range bothCarriers {
		t.Run(carrier, func(t *testing.T) {
			c := newClub()
			up := make(chan bool, 10)
			a := c.member(t, 1, only(carrier), func(config *Config) { config.OnPeer = func(_ kith.ID, is bool) { up <- is } })
			b := c.member(t, 2, only(carrier))
			dialed, accepted := connected(t, a, b)
			if _, err := accepted.Write([]byte("not read")); err != nil {
				t.Fatal(err)
			}
			kith.CloseWrite(accepted)
			written := make(chan error, 1)
			go func() {
				for {
					if _, err := dialed.Write(make([]byte, 1<<20)); err != nil {
						written <- err
						return
					}
				}
			}()
			io.ReadFull(accepted, make([]byte, 1<<20))
			c.set(b.id, false)
			a.Drop(b.id, fmt.Errorf("revoked by oak: %w", kith.NotMember))
			if _, err := dialed.Read(make([]byte, 10)); !errors.Is(err, kith.NotMember) {
				t.Errorf("read: %v, want kind %q", err, kith.NotMember)
			}
			if err := <-written; !errors.Is(err, kith.NotMember) {
				t.Errorf("write: %v, want kind %q", err, kith.NotMember)
			}
			accepted.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, accepted); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the dropped peer reads on: %v", err)
			}
			if !<-up || <-up {
				t.Error("OnPeer was not told up, then down")
			}
			waitFor(t, "the dropped peer's carrier to end", func() bool { return len(b.Peers()) == 0 })
			if err := b.Connect(t.Context(), a.id); !errors.Is(err, kith.NotMember) {
				t.Errorf("the dropped peer connects: %v, want kind %q", err, kith.NotMember)
			}
			if n := len(a.Sockets()); n != 0 {
				t.Errorf("%d sockets are left", n)
			}
		})
	}
}

// TestSimultaneousDials has two hosts dial each other at the same moment: both
// settle on one carrier, and no socket is lost.
func TestSimultaneousDials(t *testing.T) {
	for round := range 10 {
		c := newClub()
		carrier := bothCarriers[round%2]
		a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		la, _ := a.Listen(t.Context(), kith.Address{Port: 7})
		lb, _ := b.Listen(t.Context(), kith.Address{Port: 7})
		for _, l := range []net.Listener{la, lb} {
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						io.Copy(conn, conn)
						conn.Close()
					}()
				}
			}()
		}
		var wg sync.WaitGroup
		for _, way := range [][2]*Overlay{{a, b}, {b, a}} {
			for range 4 {
				wg.Go(func() {
					conn, err := way[0].Dial(t.Context(), kith.Address{Host: way[1].id.String(), Port: 7})
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					if _, err := conn.Write([]byte("echo")); err != nil {
						t.Error(err)
					}
					kith.CloseWrite(conn)
					if got, err := io.ReadAll(conn); err != nil || string(got) != "echo" {
						t.Errorf("read %q, %v", got, err)
					}
				})
			}
		}
		wg.Wait()
		waitFor(t, "both sides on the same carrier", func() bool {
			pa, pb := a.Peers(), b.Peers()
			return len(pa) == 1 && len(pb) == 1 && pa[0].Dialled != pb[0].Dialled
		})
		la.Close()
		lb.Close()
	}
}

// TestRestartedPeerTakesOver has a peer come back while its old carrier still
// seems alive.
func TestRestartedPeerTakesOver(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1, only(carrierTLS)), c.member(t, 2, only(carrierTLS))
	dialed, _ := connected(t, a, b)
	again := c.member(t, 2, only(carrierTLS))
	if err := again.Connect(t.Context(), a.id); err != nil {
		t.Fatal(err)
	}
	dialed.SetReadDeadline(time.Now().Add(patience))
	if _, err := dialed.Read(make([]byte, 1)); !errors.Is(err, kith.Unreachable) {
		t.Errorf("read from the peer before its restart: %v, want kind %q", err, kith.Unreachable)
	}
	fresh, accepted := connected(t, a, again)
	exchange(t, fresh, accepted)
}

// TestCarrierCut cuts the connection under open sockets: they end with kind
// Unreachable, and the next dial connects anew.
func TestCarrierCut(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		dialed, accepted := connected(t, a, b)
		exchange(t, dialed, accepted)
		b.mu.Lock()
		cut := b.peers[a.id].current
		b.mu.Unlock()
		cut.carrier.close()
		for _, conn := range []net.Conn{dialed, accepted} {
			conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, kith.Unreachable) {
				t.Errorf("%s: read: %v, want kind %q", carrier, err, kith.Unreachable)
			}
		}
		dialed, accepted = connected(t, a, b)
		exchange(t, dialed, accepted)
	}
}

// TestServeDrains ends a node right after it wrote: the peer has it all.
func TestServeDrains(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a := New(Config{Key: newKey(1), Admit: c.admit, Addresses: c.where, Carriers: []string{carrier}})
		c.set(a.id, true)
		stop := serve(t, a)
		if _, err := a.Open(t.Context(), "127.0.0.1", 0); err != nil {
			t.Fatal(err)
		}
		b := c.member(t, 2, only(carrier))
		dialed, accepted := connected(t, a, b)
		want := bytes.Repeat([]byte("last words "), 10_000)
		if _, err := dialed.Write(want); err != nil {
			t.Fatal(err)
		}
		dialed.Close()
		read := make(chan error, 1)
		go func() {
			got, err := io.ReadAll(accepted)
			if err == nil && !bytes.Equal(got, want) {
				err = fmt.Errorf("read %d bytes, want %d", len(got), len(want))
			}
			accepted.Close()
			read <- err
		}()
		stop()
		if err := <-read; err != nil {
			t.Errorf("%s: %v", carrier, err)
		}
		if _, err := a.Dial(t.Context(), kith.Address{Host: b.id.String(), Port: 1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial after Serve: %v, want net.ErrClosed", err)
		}
	}
}

func TestPorts(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2, func(config *Config) { config.NodePorts = []uint16{5269} })
	for _, c := range []struct {
		network kith.Network
		address kith.Address
		want    error
	}{
		{b, kith.Address{Port: 80}, nil},
		{b, kith.Address{Port: 80}, kith.InUse},
		{b, kith.Address{Port: 5269}, nil},
		{b, kith.Address{Port: 81, Host: b.id.String()}, nil},
		{b, kith.Address{Port: 82, Host: a.id.String()}, kith.Invalid},
		{b, kith.Address{Port: 82, Host: "maple"}, kith.Invalid},
		{b.Programs(), kith.Address{Port: 443}, kith.Denied},
		{b.Programs(), kith.Address{Port: 1023}, kith.Denied},
		{b.Programs(), kith.Address{Port: 5269}, kith.Denied},
		{b.Programs(), kith.Address{Port: 1024}, nil},
		{b.Programs(), kith.Address{}, nil},
	} {
		l, err := c.network.Listen(t.Context(), c.address)
		if !errors.Is(err, c.want) {
			t.Errorf("listen %s: %v, want %v", c.address, err, c.want)
		}
		if err == nil {
			if port := l.Addr().(kith.Address).Port; c.address.Port == 0 && port < firstDynamicPort {
				t.Errorf("port 0 gave %d", port)
			}
			defer l.Close()
		}
	}
	for _, c := range []struct {
		network kith.Network
		host    string
		port    uint16
		want    error
	}{
		{a, b.id.String(), 5269, nil},
		{a.Programs(), b.id.String(), 5269, kith.Denied},
		{b.Programs(), b.id.String(), 5269, kith.Denied}, // ourselves, too
		{a.Programs(), b.id.String(), 80, nil},
		{a, b.id.String(), 4, kith.Refused},
		{a, b.id.String(), 0, kith.Invalid},
		{a, "maple", 80, kith.Invalid},
		{a, idOf(newKey(7)).String(), 80, kith.NotMember},
	} {
		conn, err := c.network.Dial(t.Context(), kith.Address{Host: c.host, Port: c.port})
		if !errors.Is(err, c.want) {
			t.Errorf("dial %d: %v, want %v", c.port, err, c.want)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// TestSockets looks at both ends of a program's socket in the lists.
func TestSockets(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	l, err := b.Listen(t.Context(), kith.Address{Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	dialed, err := a.Programs().Dial(t.Context(), kith.Address{Host: b.id.String(), Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if peer, _ := kith.PeerOf(accepted); peer != (kith.Peer{ID: a.id, Program: true}) {
		t.Errorf("accepted from %+v", peer)
	}
	exchange(t, dialed, accepted)
	for _, c := range []struct {
		overlay *Overlay
		want    SocketInfo
	}{
		{a, SocketInfo{Peer: b.id, Port: 80, Program: true, Sent: 5, Received: 5}},
		{b, SocketInfo{Peer: a.id, Port: 80, Program: true, Inbound: true, Sent: 5, Received: 5}},
	} {
		list := c.overlay.Sockets()
		if len(list) != 1 {
			t.Fatalf("%d sockets, want 1", len(list))
		}
		list[0].Opened = time.Time{}
		if list[0] != c.want {
			t.Errorf("%+v, want %+v", list[0], c.want)
		}
	}
	if peers := b.Peers(); len(peers) != 1 || peers[0].Sent != 5 || peers[0].Received != 5 || peers[0].Dialled {
		t.Errorf("peers %+v", peers)
	}
	dialed.Close()
	accepted.Close()
	if n := len(a.Sockets()) + len(b.Sockets()); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

func TestOpenAndShut(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	port := c.where(b.id)[0].Port()
	if _, err := a.Open(t.Context(), "127.0.0.1", 0); !errors.Is(err, kith.Exists) {
		t.Errorf("open twice: %v, want kind %q", err, kith.Exists)
	}
	a.Shut()
	a.Shut()
	if _, err := a.Open(t.Context(), "127.0.0.1", port); !errors.Is(err, kith.InUse) {
		t.Errorf("open a taken port: %v, want kind %q", err, kith.InUse)
	}
	if err := b.Connect(t.Context(), a.id); !errors.Is(err, kith.Unreachable) {
		t.Errorf("connect to a shut host: %v, want kind %q", err, kith.Unreachable)
	}
	if err := a.Connect(t.Context(), b.id); err != nil { // TLS needs no port of ours
		t.Errorf("connect from a shut host: %v", err)
	}
	if _, err := a.Open(t.Context(), "127.0.0.1", 0); err != nil {
		t.Errorf("open again: %v", err)
	}
}

// TestDialsShareOneAttempt counts the carriers of many dials at once.
func TestDialsShareOneAttempt(t *testing.T) {
	c := newClub()
	asked := make(chan kith.ID, 100)
	a, b := c.member(t, 1, func(config *Config) {
		config.Addresses = func(id kith.ID) []netip.AddrPort {
			asked <- id
			return c.where(id)
		}
	}), c.member(t, 2)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := a.Connect(t.Context(), b.id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(asked) != 1 {
		t.Errorf("addresses were asked for %d times, want 1", len(asked))
	}
}

func TestBackoff(t *testing.T) {
	c := newClub()
	a := c.member(t, 1, only(carrierTLS))
	id := idOf(newKey(2))
	c.set(id, true)
	dead, better := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	c.place(id, dead)
	if err := a.Connect(t.Context(), id); !errors.Is(err, kith.Unreachable) {
		t.Fatalf("%v, want kind %q", err, kith.Unreachable)
	}
	tried := func(addresses ...netip.AddrPort) []netip.AddrPort {
		var list []netip.AddrPort
		for _, w := range a.ways(id, addresses) {
			list = append(list, w.key.address)
		}
		return list
	}
	if got := tried(dead, better); !slices.Equal(got, []netip.AddrPort{better}) {
		t.Errorf("tries %v, want only %v", got, better)
	}
	if got := tried(dead); !slices.Equal(got, []netip.AddrPort{dead}) {
		t.Errorf("with nothing else to try: tries %v, want %v", got, dead)
	}
}
