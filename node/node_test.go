package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
	"kith.alt/kith/kithtest"
	"kith.alt/kith/node"
)

// echo takes a port on n and sends back what it reads, until the test ends.
func echo(t *testing.T, n *kithtest.Node, port uint16) {
	t.Helper()
	ln, err := n.Listen(t.Context(), kith.Address{Port: port})
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
}

func exchange(conn net.Conn, text string) error {
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != text {
		return errors.New("got back " + string(got))
	}
	return nil
}

func member(s control.Status, host string) control.Member {
	for _, m := range s.Members {
		if m.Host == host {
			return m
		}
	}
	return control.Member{}
}

func TestSockets(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	echo(t, maple, 7000)
	status, err := maple.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"maple", "maple.home.kith.alt", status.ID.String(), status.ID.String() + ".kith.alt"} {
		conn, err := oak.Dial(t.Context(), kith.Address{Host: host, Port: 7000})
		if err != nil {
			t.Errorf("dial %s: %v", host, err)
			continue
		}
		if err := exchange(conn, "hello"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if peer, ok := kith.PeerOf(conn); !ok || peer.ID != status.ID {
			t.Errorf("peer of the socket is %v, want %v", peer.ID, status.ID)
		}
		conn.Close()
	}
	for _, c := range []struct {
		address kith.Address
		want    kith.Kind
	}{
		{kith.Address{Host: "maple", Port: 7001}, kith.Refused},
		{kith.Address{Host: "elm", Port: 7000}, kith.NotFound},
		{kith.Address{Host: "maple", Port: 1}, kith.Denied}, // between nodes only
		{kith.Address{Host: "127.0.0.1", Port: 7000}, kith.Denied},
	} {
		if _, err := oak.Dial(t.Context(), c.address); !errors.Is(err, c.want) {
			t.Errorf("dial %v: %v, want kind %q", c.address, err, c.want)
		}
	}
	for _, port := range []uint16{80, 5269, 1023} {
		if _, err := oak.Listen(t.Context(), kith.Address{Port: port}); err == nil {
			t.Errorf("a program took port %d of the node", port)
		}
	}
}

func TestRevoke(t *testing.T) {
	m := kithtest.New(t, "maple", "oak", "elm")
	maple, oak, elm := m.Nodes[0], m.Nodes[1], m.Nodes[2]
	echo(t, oak, 7000)
	fromMaple, err := maple.Dial(t.Context(), kith.Address{Host: "oak", Port: 7000})
	if err != nil {
		t.Fatal(err)
	}
	defer fromMaple.Close()
	fromElm, err := elm.Dial(t.Context(), kith.Address{Host: "oak", Port: 7000})
	if err != nil {
		t.Fatal(err)
	}
	defer fromElm.Close()
	for _, conn := range []net.Conn{fromMaple, fromElm} {
		if err := exchange(conn, "before"); err != nil {
			t.Fatal(err)
		}
	}
	if err := maple.Revoke(t.Context(), "oak"); err != nil {
		t.Fatal(err)
	}
	// Open sockets end on every member, also those that only heard of it.
	for _, conn := range []net.Conn{fromMaple, fromElm} {
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("socket to a revoked host: read gives %v", err)
		}
	}
	for _, n := range []*kithtest.Node{maple, elm} {
		m.Until(n, "oak revoked", func(s control.Status) bool { return member(s, "oak").State == control.Revoked })
		if _, err := n.Dial(t.Context(), kith.Address{Host: "oak", Port: 7000}); !errors.Is(err, kith.NotMember) {
			t.Errorf("dial a revoked host: %v, want kind %q", err, kith.NotMember)
		}
	}
	// The revoked host is told, and can come back with a new ticket.
	m.Until(oak, "knows that it is out", func(s control.Status) bool { return member(s, "oak").State == control.Revoked })
	if err := oak.Join(t.Context(), m.Invite(0)); err != nil {
		t.Fatalf("join again: %v", err)
	}
	m.Met()
}

// TestRevokedWhileOff has a host hear why it is refused when it comes back.
func TestRevokedWhileOff(t *testing.T) {
	m := kithtest.New(t, "maple", "oak", "elm")
	maple, oak := m.Nodes[0], m.Nodes[1]
	oak.Stop()
	if err := maple.Revoke(t.Context(), "oak"); err != nil {
		t.Fatal(err)
	}
	m.Until(m.Nodes[2], "oak revoked", func(s control.Status) bool { return member(s, "oak").State == control.Revoked })
	m.Start(oak)
	m.Until(oak, "knows that it is out", func(s control.Status) bool { return member(s, "oak").State == control.Revoked })
	findings, err := oak.Diagnose(t.Context(), "maple")
	if err != nil || !slices.ContainsFunc(findings, func(f control.Finding) bool {
		return f.Level == control.Problem && strings.Contains(f.Cause, "out of the group")
	}) {
		t.Errorf("diagnosis: %+v, %v", findings, err)
	}
	if err := oak.Join(t.Context(), m.Invite(0)); err != nil {
		t.Fatalf("join again: %v", err)
	}
	m.Met()
}

func TestFounderGone(t *testing.T) {
	m := kithtest.New(t, "maple", "oak", "elm")
	for _, n := range m.Nodes {
		m.Until(n, "connected to all, and not through maple", func(s control.Status) bool {
			return !slices.ContainsFunc(s.Members, func(member control.Member) bool {
				return member.Path == control.PathNone || member.Path == control.PathRelayed
			})
		})
	}
	m.Nodes[0].Stop()
	m.Nodes = m.Nodes[1:]
	oak := m.Nodes[0]
	m.Add("ash", m.Invite(0))
	online := func(s control.Status) int {
		n := 0
		for _, member := range s.Members {
			if member.State == control.Online {
				n++
			}
		}
		return n
	}
	for _, n := range m.Nodes {
		m.Until(n, "three online", func(s control.Status) bool { return online(s) == 3 })
	}
	if err := oak.Revoke(t.Context(), "maple"); err != nil {
		t.Fatalf("revoke the founder: %v", err)
	}
	for _, n := range m.Nodes {
		n.Stop()
	}
	for _, n := range m.Nodes {
		m.Start(n)
	}
	m.Met()
	for _, n := range m.Nodes {
		m.Until(n, "maple revoked", func(s control.Status) bool { return member(s, "maple").State == control.Revoked })
	}
}

func TestJoinAndLeaveKeepTheHost(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	elm := m.Add("elm", "")
	before, err := elm.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := elm.AddAccount(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	ticket := m.Invite(1)
	if err := elm.Join(t.Context(), ticket); err != nil {
		t.Fatalf("join: %v", err)
	}
	if err := elm.Join(t.Context(), ticket); err != nil {
		t.Errorf("the same ticket again: %v", err)
	}
	m.Met()
	if err := elm.Join(t.Context(), kithtest.New(t, "sun").Invite(0)); !errors.Is(err, kith.Exists) {
		t.Errorf("join a second group: %v, want kind %q", err, kith.Exists)
	}
	if err := elm.Leave(t.Context()); err != nil {
		t.Fatalf("leave: %v", err)
	}
	m.Until(m.Nodes[0], "elm gone", func(s control.Status) bool { return member(s, "elm").State == control.Revoked })
	after, err := elm.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || len(after.Members) != 1 || after.Host != "elm" {
		t.Errorf("after leaving: %+v", after)
	}
	for _, l := range after.Listeners {
		if l.App == control.AppOverlay {
			t.Errorf("a group of one listens on %s", l.Address)
		}
	}
	accounts, err := elm.Accounts(t.Context())
	if err != nil || len(accounts) != 2 {
		t.Errorf("accounts after leaving: %v, %v", accounts, err)
	}
}

func TestRename(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	if err := m.Nodes[1].Rename(t.Context(), control.RenameRequest{Host: "birch", Group: "garden"}); err != nil {
		t.Fatal(err)
	}
	m.Until(m.Nodes[0], "birch in garden", func(s control.Status) bool {
		return s.Group == "garden" && member(s, "birch").State == control.Online
	})
	echo(t, m.Nodes[1], 7000)
	for _, name := range []string{"birch", "oak", "oak.home.kith.alt", "birch.garden.kith.alt"} {
		conn, err := m.Nodes[0].Dial(t.Context(), kith.Address{Host: name, Port: 7000})
		if err != nil {
			t.Errorf("dial %s: %v", name, err)
			continue
		}
		conn.Close()
	}
}

func TestSecondStart(t *testing.T) {
	m := kithtest.New(t, "maple")
	n := m.Nodes[0]
	before, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clash, err := node.New(n.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := clash.Serve(t.Context()); !errors.Is(err, kith.InUse) {
		t.Errorf("second node on one data directory: %v, want kind %q", err, kith.InUse)
	}
	n.Stop()
	m.Start(n)
	after, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.Name != before.Name {
		t.Errorf("after a restart %s %s, before %s %s", after.ID, after.Name, before.ID, before.Name)
	}
	n.Stop()
	other := n.Config
	other.Name = "oak"
	renamed, err := node.New(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := renamed.Serve(t.Context()); !errors.Is(err, kith.Exists) {
		t.Errorf("start under another name: %v, want kind %q", err, kith.Exists)
	}
	m.Start(n)
}

func TestRefusedTicketLeavesNothing(t *testing.T) {
	m := kithtest.New(t, "maple")
	used := m.Invite(0)
	m.Add("oak", used)
	m.Met()
	mistyped := []byte(m.Invite(0))
	mistyped[40] ^= 1
	for name, ticket := range map[string]string{"used up": used, "mistyped": string(mistyped), "not one": "hello"} {
		t.Run(name, func(t *testing.T) {
			cfg := m.Nodes[0].Config
			cfg.Data, cfg.Name, cfg.Group, cfg.Ticket = filepath.Join(t.TempDir(), "late"), "late", "", ticket
			late, err := node.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := late.Serve(t.Context()); err == nil {
				t.Fatal("the ticket was accepted")
			}
			if _, err := os.Stat(cfg.Data); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a data directory is there: %v", err)
			}
		})
	}
}

func TestUnwritableData(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Config{Data: filepath.Join(file, "data"), PortBase: config.AnyPort})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Serve(context.Background()); err == nil {
		t.Fatal("a node runs in a file")
	}
}

func TestDoctor(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	if err := m.Nodes[0].SetAdmin(t.Context(), "oak", false); err != nil {
		t.Fatal(err)
	}
	findings, err := m.Nodes[0].Doctor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Level != control.Good && (f.Cause == "" || f.Remedy == "") {
			t.Errorf("%q has no cause or no remedy", f.What)
		}
		if f.Level == control.Notice && f.What == "The group has 1 admin." {
			return
		}
	}
	t.Errorf("one admin, and the doctor says %+v", findings)
}

// TestPortFollowsTheGroup has the overlay listen only while others are, or may
// come to be, in the group.
func TestPortFollowsTheGroup(t *testing.T) {
	m := kithtest.New(t, "maple")
	maple := m.Nodes[0]
	listens := func(s control.Status) bool {
		return slices.ContainsFunc(s.Listeners, func(l control.Listener) bool { return l.App == control.AppOverlay })
	}
	alone := func(s control.Status) bool { return !listens(s) }
	m.Until(maple, "closed at first", alone)
	m.Add("oak", m.Invite(0))
	m.Met()
	m.Until(maple, "open in company", listens)
	if err := maple.Revoke(t.Context(), "oak"); err != nil {
		t.Fatal(err)
	}
	m.Until(maple, "closed when alone again", alone)
}

// TestJoinAgain has a newcomer that was let in and then failed: the same ticket
// brings it in the second time.
func TestJoinAgain(t *testing.T) {
	m := kithtest.New(t, "maple")
	ticket := m.Invite(0)
	oak := m.Add("oak", ticket)
	m.Met()
	oak.Stop()
	// What a crash leaves that comes right after the answer: the key, nothing else.
	files, err := os.ReadDir(oak.Config.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() != "key" {
			if err := os.RemoveAll(filepath.Join(oak.Config.Data, f.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	oak.Config.Ticket, oak.Config.Name = ticket, ""
	m.Start(oak)
	m.Met()
	status, err := oak.Status(t.Context())
	if err != nil || len(status.Members) != 2 {
		t.Errorf("members after joining again: %v (%v)", status.Members, err)
	}
}

// TestJoinThroughMember has a newcomer reach only a member that lets nobody in:
// that one relays to the inviter, the joining and the roster alike.
func TestJoinThroughMember(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	ticket, err := group.ParseTicket(m.Invite(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Nodes[0].SetAdmin(t.Context(), "oak", false); err != nil {
		t.Fatal(err)
	}
	m.Until(m.Nodes[1], "no admin, and so aware of the ticket before", func(s control.Status) bool { return !member(s, "oak").Admin })
	status, err := m.Nodes[1].Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ticket.Addresses = nil
	for _, l := range status.Listeners {
		if at, err := netip.ParseAddrPort(l.Address); err == nil && l.App == control.AppOverlay {
			ticket.Addresses = []netip.AddrPort{at}
		}
	}
	m.Add("elm", ticket.String())
	m.Met()
}

// TestNothingPrivateIsShown tries to show the node's own data and ports to the
// group: directly, by links, and by a port that becomes the node's own later.
func TestNothingPrivateIsShown(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	client := control.NewClient(maple.Config.Data)
	defer client.Close()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(maple.Config.Data, link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{maple.Config.Data, filepath.Dir(maple.Config.Data), link} {
		err := client.API(t.Context(), "web", "PUT", "/sites", map[string]string{"path": "/", "dir": dir}, nil)
		if !errors.Is(err, kith.Invalid) {
			t.Errorf("publish %s: %v, want kind %q", dir, err, kith.Invalid)
		}
	}
	status, err := maple.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range status.Listeners {
		_, text, err := net.SplitHostPort(l.Address)
		port, _ := strconv.Atoi(text)
		if err != nil || l.App != control.AppGateway {
			continue
		}
		if err := client.API(t.Context(), "web", "PUT", "/exposed", map[string]int{"local": port, "port": 7000}, nil); !errors.Is(err, kith.Denied) {
			t.Errorf("expose port %d of the gateway: %v, want kind %q", port, err, kith.Denied)
		}
	}

	// A port that is free now, exposed, is the node's own after the next start.
	base := freePort(t)
	if err := client.API(t.Context(), "web", "PUT", "/exposed", map[string]int{"local": base, "port": 7000}, nil); err != nil {
		t.Fatal(err)
	}
	maple.Stop()
	maple.Config.PortBase = base
	m.Start(maple)
	m.Met()
	conn, err := oak.Dial(t.Context(), kith.Address{Host: "maple", Port: 7000})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost:"+strconv.Itoa(base)+"\r\n\r\n")
	if got, _ := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("a member reached the dashboard:\n%s", got)
	}
}

// freePort is a loopback port that nobody listens on, nor on the next.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
		first.Close()
		if err == nil {
			second.Close()
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

// TestForeignOverlayHost asks for an address that another computer has.
func TestForeignOverlayHost(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	n, err := node.New(node.Config{Data: data, PortBase: config.AnyPort, OverlayHost: "192.0.2.254"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Serve(t.Context()); !errors.Is(err, kith.Invalid) {
		t.Errorf("an address that this computer has not: %v, want kind %q", err, kith.Invalid)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data directory is there: %v", err)
	}
}
