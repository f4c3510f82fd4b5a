package torrent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// from is an address that a connection says it comes from.
type from string

func (from) Network() string  { return "tcp" }
func (f from) String() string { return string(f) }

// A gate is a listener at which clients come from wherever they say.
type gate struct {
	come   chan net.Conn
	closed chan struct{}
	close  func()
}

func newGate() *gate {
	g := &gate{come: make(chan net.Conn), closed: make(chan struct{})}
	g.close = sync.OnceFunc(func() { close(g.closed) })
	return g
}

type visitor struct {
	net.Conn
	remote net.Addr
}

func (v visitor) RemoteAddr() net.Addr { return v.remote }
func (v visitor) LocalAddr() net.Addr  { return from("192.168.1.7:6881") }

func (g *gate) Accept() (net.Conn, error) {
	select {
	case conn := <-g.come:
		return conn, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

func (g *gate) Addr() net.Addr { return from("192.168.1.7:6881") }

func (g *gate) Close() error {
	g.close()
	return nil
}

func (g *gate) call(t testing.TB, remote string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	near.SetDeadline(time.Now().Add(patience))
	g.come <- visitor{far, from(remote)}
	return near
}

// outside serves contents to clients from wherever they say.
func outside(t testing.TB, contents ...Content) (*Server, *gate) {
	t.Helper()
	s := newServer(t.Output(), func(_ netip.Addr, infoHash [20]byte) (Content, error) {
		for _, c := range contents {
			if slices.Contains(c.Description().InfoHashes(), infoHash) {
				return c, nil
			}
		}
		return nil, fmt.Errorf("not here: %w", kith.NotFound)
	})
	g := newGate()
	serveOn(t, s, g)
	return s, g
}

func TestIsOutside(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1:1": false, "127.255.0.1:1": false, "[::1]:1": false, "[::ffff:127.0.0.1]:1": false,
		"192.168.1.9:1": true, "[fd00::1]:1": true, "[fe80::1%eth0]:1": true, "203.0.113.9:1": true, "[::ffff:10.0.0.1]:1": true, "0.0.0.0:1": true, "[::]:1": true,
		"": true, "pipe": true, "127.0.0.1": true, "127.0.0.1:": true, "localhost:1": true,
	} {
		if got := IsOutside(remoteOf(visitor{remote: from(text)})); got != want {
			t.Errorf("%q is outside: %t", text, got)
		}
	}
	if IsOutside(netip.MustParseAddr("::ffff:127.0.0.1")) || !IsOutside(netip.Addr{}) {
		t.Error("it takes addresses as they are written")
	}
}

// TestRemoteIsTold has the owner told where clients come from, each time.
func TestRemoteIsTold(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	told := make(chan netip.Addr, 1)
	g := newGate()
	serveOn(t, newServer(t.Output(), func(remote netip.Addr, _ [20]byte) (Content, error) {
		told <- remote
		return nil, kith.NotFound
	}), g)
	hash := s.d.IDv1()
	for _, way := range []string{
		string(bittorrent.AppendHandshake(nil, bittorrent.Handshake{InfoHash: hash, PeerID: callerID})),
		"GET " + announcePath + "?" + query(hash, 1, 1, "") + " HTTP/1.1\r\nHost: 192.168.1.7\r\n\r\n",
		"GET " + scrapePath + "?" + query(hash, 1, 1, "") + " HTTP/1.1\r\nHost: 192.168.1.7\r\n\r\n",
	} {
		for remote, want := range map[string]netip.Addr{
			"[::ffff:203.0.113.9]:1": netip.MustParseAddr("203.0.113.9"), "[fe80::1%eth0]:1": netip.MustParseAddr("fe80::1"), "garbage": {},
		} {
			conn := g.call(t, remote)
			go io.WriteString(conn, way)
			select {
			case got := <-told:
				if got != want {
					t.Errorf("%.20q from %s: told %s", way, remote, got)
				}
			case <-time.After(patience):
				t.Fatalf("%.20q from %s: nobody is asked", way, remote)
			}
			io.Copy(io.Discard, conn)
		}
	}
}

// TestConnectionsOutside holds connections open: those of one origin are few, and all together
// leave room for this computer.
func TestConnectionsOutside(t *testing.T) {
	server, g := outside(t, seedOf(t, someFiles(), nil))
	waits := func(conn net.Conn) bool {
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		return !errors.Is(err, io.EOF)
	}
	most := func(what string, most int, remote func(int) string) {
		t.Helper()
		var open []net.Conn
		for i := range most + 1 {
			open = append(open, g.call(t, remote(i)))
		}
		if !waits(open[most-1]) {
			t.Errorf("%s: the last that has room is turned away", what)
		}
		if waits(open[most]) {
			t.Errorf("%s: more than %d", what, most)
		}
		for _, conn := range open {
			conn.Close()
		}
		await(t, func() bool {
			server.mu.Lock()
			defer server.mu.Unlock()
			return server.connections.taken == 0 && len(server.origins) == 0
		})
	}
	most("of one address", maxOfOrigin, func(i int) string { return fmt.Sprintf("203.0.113.9:%d", i) })
	most("of one network in IPv6", maxOfOrigin, func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i) })
	most("of no address", maxOfOrigin, func(i int) string { return fmt.Sprintf("garbage %d", i) })
	most("of all outside", maxOutside, func(i int) string { return fmt.Sprintf("203.0.%d.%d:1", i/100, i%100) })
	most("of this computer", maxConnections, func(i int) string { return fmt.Sprintf("127.0.0.1:%d", i) })
	for i := range maxOutside + 10 {
		g.call(t, fmt.Sprintf("[2001:db8:%x::1]:1", i))
	}
	for i := range maxConnections - maxOutside {
		if conn := g.call(t, fmt.Sprintf("127.0.0.1:%d", i)); i == maxConnections-maxOutside-1 && !waits(conn) {
			t.Error("clients outside leave no room for this computer")
		}
	}
}

// TestServedOutside leaves clients of this computer some of the places at which they are
// served.
func TestServedOutside(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	server, g := outside(t, s)
	ask := func(remote string) {
		conn := g.call(t, remote)
		shake := bittorrent.AppendHandshake(nil, bittorrent.Handshake{InfoHash: s.d.IDv1(), PeerID: [20]byte(fmt.Appendf(nil, "%-20.20s", remote))})
		go func() {
			conn.Write(bittorrent.AppendMessage(shake, bittorrent.Message{Type: bittorrent.Interested}))
			io.Copy(io.Discard, conn)
		}()
	}
	for i := range maxUnchokedOutside + 5 {
		ask(fmt.Sprintf("203.0.113.%d:1", i))
	}
	unchoked := func(all, outside int) func() bool {
		return func() bool {
			server.mu.Lock()
			defer server.mu.Unlock()
			return server.unchoked.taken == all && server.unchoked.outside == outside
		}
	}
	await(t, unchoked(maxUnchokedOutside, maxUnchokedOutside))
	for i := range maxUnchoked {
		ask(fmt.Sprintf("127.0.0.1:%d", i+1))
	}
	await(t, unchoked(maxUnchoked, maxUnchokedOutside))
}

func TestHostAddress(t *testing.T) {
	for host, want := range map[string]string{
		"192.168.1.7:6881": "192.168.1.7:6881", "192.168.1.7": "192.168.1.7:0", "[fd00::7]:6881": "[fd00::7]:6881", "[fd00::7]": "[fd00::7]:0", "fd00::7": "[fd00::7]:0",
		"fd00::7:31017":         "[fd00::7]:31017", // as libtorrent has it
		"fd00:1:2:3:4:5:6:7:80": "[fd00:1:2:3:4:5:6:7]:80",
		"evil.example":          "", "evil.example:6881": "", "": "", ":": "", ":6881": "", "fd00::7.evil.example:80": "", "192.168.1.7.evil.example": "", "localhost": "",
	} {
		got := hostAddress(host)
		if want == "" && got.Addr().IsValid() || want != "" && got.String() != want {
			t.Errorf("%q is %s", host, got)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "localhost:6881": true, "localhost.evil.example": false, "fd00::7:31017": true, "evil.example:6881": false, "": false} {
		if byAddress(host) != want {
			t.Errorf("%q is by address: %t", host, !want)
		}
	}
}

// TestTrackerKeepsApart tells nobody of those whom he cannot reach, or should not know of.
func TestTrackerKeepsApart(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	_, g := outside(t, s)
	announce := func(remote, host string, port int) string {
		t.Helper()
		conn := g.call(t, remote)
		go fmt.Fprintf(conn, "GET %s?%s HTTP/1.1\r\nHost: %s\r\n\r\n", announcePath, query(s.d.IDv1(), port, 1, "started"), host)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	answer := func(takers int, peers ...string) string {
		var list []netip.AddrPort
		for _, p := range peers {
			list = append(list, netip.MustParseAddrPort(p))
		}
		return string(bittorrent.AppendAnswer(nil, interval, bittorrent.Swarm{Seeds: 1, Takers: takers}, list))
	}
	const here = "192.168.1.7:6881"
	for i, test := range []struct{ remote, host, want string }{
		{"127.0.0.1:1", "127.0.0.1:6881", answer(1, here)},
		{"127.0.0.2:1", "203.0.113.7:6881", answer(2, here, "127.0.0.1:1000")}, // of this computer: where it says is of no interest
		{"192.168.1.9:1", here, answer(1, here)},
		{"203.0.113.9:1", "203.0.113.7:7000", answer(2, "203.0.113.7:7000")},                           // through a router
		{"203.0.113.10:1", "[2001:db8::7]", answer(3, here, "203.0.113.9:1003")},                       // no port
		{"203.0.113.11:1", "127.0.0.1:6881", answer(4, here, "203.0.113.10:1004", "203.0.113.9:1003")}, // nonsense
		{"192.168.1.10:1", here, answer(5, here, "203.0.113.11:1005", "203.0.113.10:1004", "203.0.113.9:1003", "192.168.1.9:1002")},
		{"garbage", here, answer(5, here, "203.0.113.11:1005", "203.0.113.10:1004", "203.0.113.9:1003")},
		{"127.0.0.3:1", "localhost", answer(3, here, "127.0.0.2:1001", "127.0.0.1:1000")},
	} {
		if got := announce(test.remote, test.host, 1000+i); got != test.want {
			t.Errorf("%d: from %s: %q, want %q", i, test.remote, got, test.want)
		}
	}
	for i := range 2 * maxAnnounced { // of one origin
		announce(fmt.Sprintf("[2001:db8::%x]:1", i), here, 2000+i)
	}
	if got, want := announce("192.168.1.10:1", here, 1006), 5+maxAnnounced; !strings.Contains(got, fmt.Sprintf("10:incompletei%de", want)) {
		t.Errorf("%q, want %d takers", got, want)
	}
}

// A client outside that has what is lacking here is not dialled.
func TestNoVisitOutside(t *testing.T) {
	files := someFiles()
	d, sums, _ := files.describe(t, "oak", false)
	s, _ := newShare(t, d)
	s.fill(t, sums, files, func(int) bool { return false })
	server, _ := outside(t, s)
	for remote, want := range map[string]int{"127.0.0.1:1": 1, "203.0.113.9:1": 0, "192.168.1.9:1": 0, "garbage": 0} {
		r, err := http.NewRequest(http.MethodGet, announcePath+"?"+query(d.IDv1(), 9, 0, "started"), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		if _, err := server.announce(ctx, &work, visitor{remote: from(remote)}, r); err != nil {
			t.Fatal(err)
		}
		server.tracker.mu.Lock()
		got := server.tracker.visits
		server.tracker.mu.Unlock()
		if got != want {
			t.Errorf("%d visits of %s", got, remote)
		}
		cancel()
		work.Wait()
	}
}
