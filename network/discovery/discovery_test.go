package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/zeroconf/v2"
	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
)

const patience = 30 * time.Second

// loopback is the loopback link, or ends the test where it carries no
// multicast.
func loopback(t *testing.T) func() ([]link, error) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, iface := range all {
		if iface.Flags&net.FlagLoopback != 0 && iface.Flags&net.FlagUp != 0 {
			return func() ([]link, error) { return []link{{iface, prefixesOf(iface)}}, nil }
		}
	}
	t.Skip("no loopback interface")
	return nil
}

// start serves a LAN on links until the test ends, or stop is called.
func start(t *testing.T, links func() ([]link, error), config Config) (stop func()) {
	t.Helper()
	if config.Wanted == nil {
		config.Wanted = func(string) bool { return true }
	}
	if config.Found == nil {
		config.Found = func(string, []netip.AddrPort) {}
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	l := New(config)
	l.links = links
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	stop = func() {
		cancel()
		select {
		case err, ok := <-done:
			if ok && err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve does not end")
		}
	}
	t.Cleanup(func() { cancel() })
	return stop
}

// testMeeting checks that two nodes find each other on links, that nodes that
// are not wanted or do not announce are left out, and that nothing runs on.
func testMeeting(t *testing.T, links func() ([]link, error)) {
	before := runtime.NumGoroutine()
	unique := fmt.Sprint(os.Getpid(), "x", time.Now().UnixNano())
	oak, maple, elm := "oak"+unique, "maple"+unique, "elm"+unique
	var oakPort atomic.Uint32
	oakPort.Store(4747)
	foundByMaple, foundByOak := make(chan []netip.AddrPort, 100), make(chan []netip.AddrPort, 100)
	stops := []func(){
		start(t, links, Config{
			Tag:    oak,
			Port:   func() uint16 { return uint16(oakPort.Load()) },
			Wanted: func(tag string) bool { return tag == maple },
			Found:  func(_ string, addresses []netip.AddrPort) { foundByOak <- addresses },
		}),
		start(t, links, Config{
			Tag:  maple,
			Port: func() uint16 { return 4748 },
			Wanted: func(tag string) bool {
				if tag == maple || tag == elm {
					t.Errorf("asked about %s", tag)
				}
				return tag == oak
			},
			Found: func(_ string, addresses []netip.AddrPort) { foundByMaple <- addresses },
		}),
		start(t, links, Config{Tag: elm, Port: func() uint16 { return 0 }}),
	}
	for found, port := range map[chan []netip.AddrPort]uint16{foundByOak: 4748, foundByMaple: 4747} {
		select {
		case addresses := <-found:
			for _, a := range addresses {
				if a.Port() != port || !a.Addr().IsLoopback() {
					t.Errorf("found %v, want a loopback address and port %d", a, port)
				}
			}
		case <-time.After(patience):
			t.Fatalf("the node with port %d is not found", port)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if addresses, err := lookup(ctx, oak, links); err != nil || addresses[0].Port() != 4747 {
		t.Errorf("look up oak: %v, %v", addresses, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if addresses, err := lookup(ctx, elm, links); !errors.Is(err, kith.NotFound) {
		t.Errorf("look up elm, which does not announce itself: %v, %v; want kind %q", addresses, err, kith.NotFound)
	}
	for _, stop := range stops {
		stop()
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestMeeting(t *testing.T) { testMeeting(t, loopback(t)) }

const childVariable = "KITH_DISCOVERY_TEST_CHILD"

// alone runs the test again in a network namespace that has nothing but a
// loopback interface. In there it returns true.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childVariable) != "" {
		return true
	}
	require.Root(t)
	unshare, ip := require.Tool(t, "unshare"), require.Tool(t, "ip")
	if err := exec.Command(unshare, "--net", "true").Run(); err != nil {
		t.Skipf("network namespaces are not permitted here: %v", err)
	}
	command := exec.Command(unshare, "--net", "sh", "-c", ip+` link set lo up && exec "$0" "$@"`, os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), childVariable+"=1")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	return false
}

// TestLoopbackOnly has two nodes meet on a computer without any network.
func TestLoopbackOnly(t *testing.T) {
	if alone(t) {
		testMeeting(t, systemLinks)
	}
}

// TestFlood checks that a flood of announcements is read to a bounded number,
// and that a node still finds another afterwards.
func TestFlood(t *testing.T) {
	if !alone(t) {
		return
	}
	links := loopback(t)
	start(t, links, Config{Tag: "maple", Port: func() uint16 { return 4748 }})
	list, _ := links()
	ctx, stopFlood := context.WithCancel(t.Context())
	defer stopFlood()
	var sent atomic.Int64
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.Close()
		conn := ipv4.NewPacketConn(socket)
		if err := conn.SetMulticastInterface(&list[0].iface); err != nil {
			t.Error(err)
		}
		for ctx.Err() == nil {
			packet := announcement(t, fmt.Sprint("x", sent.Add(1)))
			if _, err := conn.WriteTo(packet, nil, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}); err != nil {
				runtime.Gosched() // the queue is full
			}
		}
	}()
	for range 3 {
		read := 0
		if err := query(t.Context(), list, func(*zeroconf.ServiceEntry) bool { read++; return true }); err != nil {
			t.Fatal(err)
		}
		if read > maxAnswers {
			t.Errorf("%d answers were read, at most %d", read, maxAnswers)
		}
		t.Logf("%d answers read, %d sent", read, sent.Load())
	}
	stopFlood()
	<-flooded
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := lookup(ctx, "maple", links); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

// announcement is a response of a node with that tag (RFC 6762 8.3).
func announcement(t *testing.T, tag string) []byte {
	t.Helper()
	instance, header := tag+"."+service+"."+domain, dns.RR_Header{Class: dns.ClassINET, Ttl: 1 << 31}
	with := func(name string, rrtype uint16) dns.RR_Header {
		header.Name, header.Rrtype = name, rrtype
		return header
	}
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Answer: []dns.RR{
		&dns.PTR{Hdr: with(service+"."+domain, dns.TypePTR), Ptr: instance},
		&dns.SRV{Hdr: with(instance, dns.TypeSRV), Port: 1, Target: tag + "." + domain},
		&dns.A{Hdr: with(tag+"."+domain, dns.TypeA), A: net.IPv4(127, 0, 0, 1)},
	}}
	packet, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return packet
}

// TestNoMulticast checks that the absence of a network is one line in the log,
// and none for a node that listens nowhere: it looks for nobody.
func TestNoMulticast(t *testing.T) {
	none := func() ([]link, error) { return nil, nil }
	for port, want := range map[uint16]int{0: 0, 4747: 1} {
		synctest.Test(t, func(t *testing.T) {
			var text strings.Builder
			stop := start(t, none, Config{Tag: "oak", Port: func() uint16 { return port }, Log: slog.New(slog.NewTextHandler(&text, nil))})
			time.Sleep(24 * time.Hour)
			stop()
			if n := strings.Count(text.String(), "\n"); n != want {
				t.Errorf("port %d: %d lines in the log of a day, want %d:\n%s", port, n, want, text.String())
			}
		})
	}
	if _, err := lookup(t.Context(), "oak", none); !errors.Is(err, kith.Unreachable) {
		t.Errorf("look up: %v, want kind %q", err, kith.Unreachable)
	}
}

func TestBadTags(t *testing.T) {
	for _, tag := range []string{"", "a.b", "UPPER", strings.Repeat("x", 64)} {
		if err := New(Config{Tag: tag}).Serve(t.Context()); !errors.Is(err, kith.Invalid) {
			t.Errorf("serve tag %q: %v, want kind %q", tag, err, kith.Invalid)
		}
	}
}

func TestOnLink(t *testing.T) {
	links := []link{
		{net.Interface{Name: "eth0"}, []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24"), netip.MustParsePrefix("fe80::5/64")}},
		{net.Interface{Name: "wlan0"}, []netip.Prefix{netip.MustParsePrefix("2001:db8::5/64"), netip.MustParsePrefix("fe80::6/64")}},
	}
	many := make([]net.IP, 100)
	for i := range many {
		many[i] = net.IPv4(192, 0, 2, byte(i))
	}
	for _, c := range []struct {
		name   string
		port   int
		v4, v6 []net.IP
		want   string
	}{
		{"on a link", 4747, []net.IP{net.IPv4(192, 0, 2, 7)}, []net.IP{net.ParseIP("2001:db8::7")}, "[192.0.2.7:4747 [2001:db8::7]:4747]"},
		{"twice", 4747, []net.IP{net.IPv4(192, 0, 2, 7), net.IPv4(192, 0, 2, 7)}, nil, "[192.0.2.7:4747]"},
		{"elsewhere", 4747, []net.IP{net.IPv4(198, 51, 100, 1), net.IPv4(127, 0, 0, 1)}, []net.IP{net.ParseIP("2001:db8:1::7"), net.ParseIP("::1")}, "[]"},
		{"of one link", 4747, nil, []net.IP{net.ParseIP("fe80::7")}, "[[fe80::7%eth0]:4747 [fe80::7%wlan0]:4747]"},
		{"no port", 0, []net.IP{net.IPv4(192, 0, 2, 7)}, nil, "[]"},
		{"no addresses", 4747, []net.IP{nil, {1, 2, 3}}, nil, "[]"},
	} {
		e := &zeroconf.ServiceEntry{Port: c.port, AddrIPv4: c.v4, AddrIPv6: c.v6}
		if got := fmt.Sprint(onLink(e, links)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := onLink(&zeroconf.ServiceEntry{Port: 1, AddrIPv4: many}, links); len(got) != maxAddresses {
		t.Errorf("%d addresses, want %d", len(got), maxAddresses)
	}
}
