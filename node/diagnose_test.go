package node_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
)

// TestWayToAMember follows the way to a member that is there, and to one that
// is not any more.
func TestWayToAMember(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	ping, err := maple.Ping(t.Context(), "oak")
	if err != nil || ping.Host != "oak" || ping.RTT <= 0 || ping.Path != control.PathLAN || ping.Carrier == "" {
		t.Errorf("ping: %+v, %v", ping, err)
	}
	if ping, err := maple.Ping(t.Context(), "maple"); err != nil || ping.Path != control.PathSelf {
		t.Errorf("ping itself: %+v, %v", ping, err)
	}
	if _, err := maple.Ping(t.Context(), "elm"); !errors.Is(err, kith.NotFound) {
		t.Errorf("ping nobody: %v", err)
	}
	trace, err := maple.Trace(t.Context(), "oak")
	if err != nil || len(trace.Hops) != 2 || trace.Hops[1].Host != "oak" || trace.Hops[1].RTT <= 0 || trace.Error != "" {
		t.Errorf("trace: %+v, %v", trace, err)
	}
	diagnose(t, maple, "oak", control.Good, "The two are on one network")
	diagnose(t, maple, "maple", control.Good, "It is this computer.")
	diagnose(t, maple, "elm", control.Problem, "The name elm means no computer here.")

	status, err := maple.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at := member(status, "oak"); at.Since.IsZero() {
		t.Errorf("since when the path is used is not told: %+v", at)
	}
	oak.Stop()
	m.Until(maple, "oak asleep", func(s control.Status) bool { return member(s, "oak").State == control.Offline })
	diagnose(t, maple, "oak", control.Problem, "No way leads to oak.")
	if trace, err := maple.Trace(t.Context(), "oak"); err != nil || trace.Error == "" || trace.Path != control.PathNone {
		t.Errorf("trace to where nobody is: %+v, %v", trace, err)
	}
	if _, err := maple.Ping(t.Context(), "oak"); !errors.Is(err, kith.Unreachable) {
		t.Errorf("ping where nobody is: %v", err)
	}
}

// diagnose has the last finding be of that level and text.
func diagnose(t *testing.T, n *kithtest.Node, host, level, what string) {
	t.Helper()
	findings, err := n.Diagnose(t.Context(), host)
	if err != nil || len(findings) == 0 {
		t.Fatalf("%s: %v, %v", host, findings, err)
	}
	last := findings[len(findings)-1]
	if last.Level != level || !strings.Contains(last.What, what) {
		t.Errorf("%s: %+v, want %s: %s", host, last, level, what)
	}
	if i := slices.IndexFunc(findings, func(f control.Finding) bool { return f.Level == control.Problem }); i >= 0 && i != len(findings)-1 {
		t.Errorf("%s: it goes on after the problem: %+v", host, findings)
	}
}

// TestConfigure: settings hold at once, and in the next run.
func TestConfigure(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple := m.Nodes[0]
	no, public := false, []string{"203.0.113.7", "203.0.113.8:80"}
	limits := control.RelayLimits{BytesPerSecond: 1000, BytesPerDay: 2000, Streams: 3}
	if err := maple.Configure(t.Context(), control.Settings{Public: &public, PortMapping: &no, Relay: &limits}); err != nil {
		t.Fatal(err)
	}
	if err := maple.Configure(t.Context(), control.Settings{Public: &[]string{"here"}}); !errors.Is(err, kith.Invalid) {
		t.Errorf("a public address that is none: %v", err)
	}
	check := func(when string) {
		t.Helper()
		s, err := maple.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := s.Reach
		if !r.Open || r.By != control.ByPublic || !slices.Equal(r.Public, public) || !slices.Contains(r.Addresses, "203.0.113.8:80") || r.Introduce || r.PortMapping {
			t.Errorf("%s: reach is %+v", when, r)
		}
		if s.Relaying.Limits != limits {
			t.Errorf("%s: relays within %+v", when, s.Relaying.Limits)
		}
		invitation, err := maple.Invite(t.Context(), control.InviteRequest{})
		if err != nil || !invitation.Open {
			t.Errorf("%s: invitation %+v, %v", when, invitation, err)
		}
	}
	check("at once")
	maple.Stop()
	m.Start(maple)
	check("after a restart")
}
