package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

var (
	atHome = netip.MustParseAddr("192.168.1.7")
	inside = netip.MustParseAddr("fd00:7::7")
	abroad = netip.MustParseAddr("203.0.113.7")
)

// A computer has addresses that come and go.
type computer struct {
	mu      sync.Mutex
	own     []netip.Prefix
	taken   map[netip.AddrPort]bool
	open    map[netip.AddrPort]*ear
	changes []chan struct{}
}

func newComputer(addresses ...netip.Addr) *computer {
	c := &computer{taken: make(map[netip.AddrPort]bool), open: make(map[netip.AddrPort]*ear)}
	c.move(append(addresses, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::7"))...)
	return c
}

func (c *computer) move(addresses ...netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = nil
	for _, a := range addresses {
		c.own = append(c.own, netip.PrefixFrom(a, 24))
	}
	for _, news := range c.changes {
		select {
		case news <- struct{}{}:
		default:
		}
	}
}

// take has another program listen, or no longer.
func (c *computer) take(at netip.AddrPort, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[at] = taken
}

func (c *computer) config() Config {
	network := Network{
		Interfaces: func() []netip.Prefix {
			c.mu.Lock()
			defer c.mu.Unlock()
			return slices.Clone(c.own)
		},
		Changes: func(context.Context) <-chan struct{} {
			c.mu.Lock()
			defer c.mu.Unlock()
			news := make(chan struct{}, 1)
			c.changes = append(c.changes, news)
			return news
		},
		Listen: func(_ context.Context, address string, port uint16) (net.Listener, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			at := netip.AddrPortFrom(netip.MustParseAddr(address), port)
			if c.taken[at] || c.open[at] != nil {
				return nil, kith.InUse
			}
			c.open[at] = &ear{computer: c, at: at, conns: make(chan net.Conn), closed: make(chan struct{})}
			return c.open[at], nil
		},
	}
	return Config{Network: network, Clients: "readers", Log: slog.New(slog.DiscardHandler)}
}

// An ear is a listener of a computer.
type ear struct {
	computer *computer
	at       netip.AddrPort
	conns    chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (e *ear) Accept() (net.Conn, error) {
	select {
	case conn := <-e.conns:
		return conn, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *ear) Close() error {
	e.once.Do(func() {
		close(e.closed)
		e.computer.mu.Lock()
		defer e.computer.mu.Unlock()
		delete(e.computer.open, e.at)
	})
	return nil
}

func (e *ear) Addr() net.Addr { return net.TCPAddrFromAddrPort(e.at) }

// hold is a service that keeps every conversation until its context ends.
func hold(ctx context.Context, ln net.Listener) error {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var work sync.WaitGroup
	defer work.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return nil
		}
		work.Go(func() {
			<-ctx.Done()
			conn.Close()
		})
	}
}

// call returns the near end of a conversation, nil where nobody listens.
func (c *computer) call(at netip.AddrPort) net.Conn {
	c.mu.Lock()
	e := c.open[at]
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	near, far := net.Pipe()
	e.conns <- far
	return near
}

func opening(t *testing.T, text string) Opening {
	t.Helper()
	open, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return open
}

func TestOpenings(t *testing.T) {
	c := newComputer(atHome, inside, abroad)
	for text, want := range map[string][]netip.Addr{
		"": nil, "lan": {atHome, inside}, "any": {atHome, inside, abroad},
		"203.0.113.7": {abroad}, "::ffff:203.0.113.7": {abroad}, "fd00:7::7": {inside}, "10.9.9.9": nil,
	} {
		open := opening(t, text)
		if got := open.Addresses(c.own); !slices.Equal(got, want) {
			t.Errorf("%q opens %v", text, got)
		}
		if again, err := Parse(open.String()); again != open || err != nil {
			t.Errorf("%q is remembered as %q: %+v, %v", text, open, again, err)
		}
	}
	for _, text := range []string{"all", "LAN", " lan", "maple", "192.168.1.7:6881", "192.168.1.0/24", "127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "fe80::7", "fe80::7%eth0", strings.Repeat("1", 100)} {
		if open, err := Parse(text); !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: %+v, %v", text, open, err)
		}
	}
	for remote, admitted := range map[string][2]bool{ // to lan, to any
		"192.168.1.9": {true, true}, "10.1.1.1": {true, true}, "fd00:7::9": {true, true}, "fe80::9": {true, true}, "::ffff:10.1.1.1": {true, true},
		"203.0.113.9": {false, true}, "2001:db8::1": {false, true}, "100.64.1.1": {false, true},
	} {
		for i, to := range []string{"lan", "any"} {
			if got := opening(t, to).Admits(netip.MustParseAddr(remote)); got != admitted[i] {
				t.Errorf("%s lets %s in: %t", to, remote, got)
			}
		}
	}
	if (Opening{}).Admits(atHome) {
		t.Error("a closed door lets in")
	}
}

// TestDoor opens and closes a door with two services, on a computer that moves.
func TestDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newComputer(atHome, abroad)
		d := New(c.config(), opening(t, "lan"))
		if got := d.Problems(); len(got) != 1 || !strings.HasPrefix(got[0], "No readers are served") {
			t.Errorf("before there is a service: %q", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for _, port := range []uint16{1993, 1465} {
			work.Go(func() { d.Serve(ctx, port, hold) })
		}
		is := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, at := range d.Addresses() {
				got = append(got, at.String())
				if c.open[at] == nil { // nobody else runs
					t.Errorf("%s: nothing listens at %s", when, at)
				}
			}
			if !slices.Equal(got, want) || len(c.open) != len(want) {
				t.Errorf("%s: open are %v, %d", when, got, len(c.open))
			}
		}
		never := func() error { t.Error("it was remembered"); return nil }
		fine := func() error { return nil }
		is("at first", "192.168.1.7:1465", "192.168.1.7:1993")

		reader := c.call(netip.AddrPortFrom(atHome, 1993))
		if err := d.Set(opening(t, "any"), fine); err != nil {
			t.Error(err)
		}
		is("to any", "192.168.1.7:1465", "192.168.1.7:1993", "203.0.113.7:1465", "203.0.113.7:1993")
		if _, err := reader.Read(make([]byte, 1)); err == nil {
			t.Error("a conversation under the opening before goes on")
		}

		reader = c.call(netip.AddrPortFrom(abroad, 1993))
		c.move(inside)
		is("elsewhere", "[fd00:7::7]:1465", "[fd00:7::7]:1993")
		if _, err := reader.Read(make([]byte, 1)); err == nil {
			t.Error("a conversation at an address that is gone goes on")
		}
		if err := d.Set(opening(t, "192.168.1.7"), never); !errors.Is(err, kith.NotFound) {
			t.Errorf("an address of another computer: %v", err)
		}
		is("after that", "[fd00:7::7]:1465", "[fd00:7::7]:1993")

		c.move(atHome)
		c.take(netip.AddrPortFrom(atHome, 1465), true)
		time.Sleep(tryAgain)
		is("with one port taken", "192.168.1.7:1993")
		if got := d.Problems(); len(got) != 1 || !strings.Contains(got[0], "Port 1465 at 192.168.1.7 is taken by another program") {
			t.Errorf("problems: %q", got)
		}
		c.take(netip.AddrPortFrom(atHome, 1465), false)
		time.Sleep(tryAgain)
		is("when it is free", "192.168.1.7:1465", "192.168.1.7:1993")

		if err := d.Set(opening(t, "lan"), func() error { return fmt.Errorf("full: %w", kith.Quota) }); !errors.Is(err, kith.Quota) || d.Opening().String() != "any" {
			t.Errorf("what cannot be remembered: %v, open to %q", err, d.Opening())
		}
		c.move()
		is("without a network")
		if got := d.Problems(); len(got) != 1 || got[0] != "This computer is on no such network now." {
			t.Errorf("problems: %q", got)
		}
		c.move(atHome)
		if err := d.Set(Opening{}, func() error { return kith.Quota }); err == nil {
			t.Error("a failure to remember is not told")
		}
		is("closed all the same")

		if err := d.Set(opening(t, "lan"), fine); err != nil {
			t.Error(err)
		}
		cancel()
		work.Wait()
		is("at the end")
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "lan", "any", "192.168.1.7", "::ffff:1.2.3.4", "fe80::1%x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		open, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(open.String()); err != nil || again != open {
			t.Errorf("%q is remembered as %q: %v", text, open, err)
		}
	})
}
