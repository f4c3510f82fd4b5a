package overlay

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
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
	for _, carriers := range [][]string{{carrierTLS}, {carrierQUIC}, {carrierSelf}, {carrierRelay}} {
		t.Run(carriers[0], func(t *testing.T) {
			networktest.Run(t, func(t *testing.T) networktest.Pair {
				c := newClub()
				if carriers[0] == carrierSelf {
					a := c.member(t, 1)
					return networktest.Pair{Dialer: a, Listener: a, DialerID: a.id, ListenerID: a.id,
						Address: func() kith.Address { return kith.Address{} }}
				}
				change := []func(*Config){only(carriers...)}
				if carriers[0] == carrierRelay {
					change = nil
				}
				a, b := c.member(t, 1, change...), c.member(t, 2, change...)
				if carriers[0] == carrierRelay {
					c.hidden(a, b)
					meet(t, c.member(t, 3, relaysMuch), a, b)
				}
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
		for _, w := range a.ways(addresses, a.cfg.Carriers) {
			list = append(list, w.address)
		}
		return list
	}
	if got := tried(dead, better); !slices.Equal(got, []netip.AddrPort{better}) {
		t.Errorf("tries %v, want only %v", got, better)
	}
	if got := tried(dead); len(got) > 0 {
		t.Errorf("where nobody ever was: tries %v", got)
	}
	a.contacts.succeeded(dead)
	a.contacts.failed(dead)
	if got := tried(dead); !slices.Equal(got, []netip.AddrPort{dead}) {
		t.Errorf("with nothing else to try: tries %v, want %v", got, dead)
	}
}
