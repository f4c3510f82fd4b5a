package internet_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

func expectations(t *testing.T) (string, map[[2]internet.NAT]internet.Path) {
	t.Helper()
	text, err := os.ReadFile("../../docs/nat.md")
	if err != nil {
		t.Fatal(err)
	}
	expected, err := internet.Expectations(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(text), expected
}

func TestExpectationsRefuse(t *testing.T) {
	text, _ := expectations(t)
	for name, change := range map[string]func(string) string{
		"no table":    func(s string) string { return strings.ReplaceAll(s, "| | none", "| kind | none") },
		"a word":      func(s string) string { return strings.Replace(s, "direct (a) |", "perhaps |", 1) },
		"one way":     func(s string) string { return strings.Replace(s, "direct (a) |", "relay |", 1) },
		"a short row": func(s string) string { return strings.Replace(s, "| direct (a) |", "|", 1) },
		"no such row": func(s string) string { return strings.Replace(s, "**double**", "**triple**", 1) },
	} {
		if _, err := internet.Expectations(change(text)); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// TestExpectations does what docs/nat.md describes, with plain packets, between
// hosts behind all pairs of kinds.
func TestExpectations(t *testing.T) {
	_, expected := expectations(t)
	for pair, want := range expected {
		synctest.Test(t, func(t *testing.T) {
			n := internet.New(internet.Config{Seed: 1})
			member := newSpeaker(t, n.Public().Host("member"), 4747)
			a := newSpeaker(t, n.Router(pair[0]).Host("a"), 4747)
			b := newSpeaker(t, n.Router(pair[1]).Host("b"), 4747)
			if got := meet(a, b, member); got != want {
				t.Errorf("%s and %s: %s, and docs/nat.md expects %s", pair[0], pair[1], got, want)
			}
		})
	}
}

// meet has a and b seek a direct path.
func meet(a, b, member *speaker) internet.Path {
	a.say("hello from a", member.at())
	b.say("hello from b", member.at())
	time.Sleep(time.Second)
	aSeen, bSeen := member.heard("hello from a"), member.heard("hello from b")
	for range 3 {
		if bSeen.IsValid() {
			a.say("ping", bSeen)
		}
		if aSeen.IsValid() {
			b.say("ping", aSeen)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if a.heard("pong").IsValid() || b.heard("pong").IsValid() || a.dials(b.at()) || b.dials(a.at()) {
		return internet.Direct
	}
	return internet.Relay
}

// A speaker is a host that answers a ping to where it came from, and accepts
// TCP.
type speaker struct {
	t    *testing.T
	host *internet.Host
	conn net.PacketConn

	lines []line
}

type line struct {
	text string
	from netip.AddrPort
}

func newSpeaker(t *testing.T, h *internet.Host, port uint16) *speaker {
	t.Helper()
	conn, err := h.ListenUDP(t.Context(), "", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	listenTCP(t, h, port)
	s := &speaker{t: t, host: h, conn: conn}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			s.lines = append(s.lines, line{string(buffer[:n]), from.(*net.UDPAddr).AddrPort()})
			if string(buffer[:n]) == "ping" {
				conn.WriteTo([]byte("pong"), from)
			}
		}
	}()
	return s
}

func (s *speaker) at() netip.AddrPort {
	return netip.AddrPortFrom(s.host.Address(), s.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
}

func (s *speaker) say(text string, to netip.AddrPort) {
	s.t.Helper()
	if _, err := s.conn.WriteTo([]byte(text), net.UDPAddrFromAddrPort(to)); err != nil {
		s.t.Fatal(err)
	}
}

// heard returns where the last line with the text came from, when nothing
// else happens at this instant.
func (s *speaker) heard(text string) netip.AddrPort {
	synctest.Wait()
	for _, l := range slices.Backward(s.lines) {
		if l.text == text {
			return l.from
		}
	}
	return netip.AddrPort{}
}

// hears sends a line from another speaker, and reports whether it arrived.
func (s *speaker) hears(from *speaker, at netip.AddrPort) bool {
	before := len(s.lines)
	from.say("line", at)
	time.Sleep(time.Second)
	synctest.Wait()
	return len(s.lines) > before
}

func (s *speaker) dials(address netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	conn, err := s.host.DialTCP(ctx, address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func FuzzExpectations(f *testing.F) {
	text, err := os.ReadFile("../../docs/nat.md")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("| | none |\n|---|\n| none | direct |")
	f.Fuzz(func(t *testing.T, markdown string) {
		expected, err := internet.Expectations(markdown)
		if kinds := len(internet.Kinds()); err == nil && len(expected) != kinds*kinds {
			t.Errorf("%d pairs", len(expected))
		}
	})
}
