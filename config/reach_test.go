package config

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kith.alt/kith"
)

func TestParsePublic(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.7":              "203.0.113.7:4747",
		"203.0.113.7:80":           "203.0.113.7:80",
		"2001:db8::1":              "[2001:db8::1]:4747",
		"[2001:db8::1]:80":         "[2001:db8::1]:80",
		"::ffff:203.0.113.7":       "203.0.113.7:4747",
		"10.0.0.1":                 "10.0.0.1:4747", // of a network of the owner's own, perhaps
		"":                         "",
		"home.example":             "",
		"203.0.113.7:0":            "",
		"0.0.0.0":                  "",
		"127.0.0.1":                "",
		"224.0.0.1:80":             "",
		"203.0.113.7:65536":        "",
		"203.0.113.7, 203.0.113.8": "",
	} {
		at, err := ParsePublic(text, 4747)
		switch {
		case want == "" && !errors.Is(err, kith.Invalid):
			t.Errorf("%q: %v, %v", text, at, err)
		case want != "" && (err != nil || at.String() != want):
			t.Errorf("%q: %v, %v; want %s", text, at, err, want)
		}
	}
}

// TestReachIsKept: what is stored of how the host is reached comes back.
func TestReachIsKept(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	err := d.Update(func(n *Node) error {
		n.Public, n.DHTNodes = []string{"203.0.113.7"}, []string{"dht.example:6881"}
		n.Introduce, n.NoPortMapping, n.SuspendFor = true, true, Duration(90*time.Second)
		n.Relay = Relay{Off: true, BytesPerSecond: 1, BytesPerDay: 2, Streams: 3}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.PublicAddresses(9); len(got) != 1 || got[0].String() != "203.0.113.7:9" {
		t.Errorf("public addresses %v", got)
	}
	if got := n.PublicAddresses(0); got != nil {
		t.Errorf("public addresses without a port: %v", got)
	}
	if !n.Introduce || !n.NoPortMapping || time.Duration(n.SuspendFor) != 90*time.Second || n.Relay != (Relay{true, 1, 2, 3}) ||
		!slices.Equal(n.DHTNodes, []string{"dht.example:6881"}) {
		t.Errorf("%+v", n)
	}
	for name, change := range map[string]func(*Node){
		"public":       func(n *Node) { n.Public = []string{"here"} },
		"many":         func(n *Node) { n.Public = slices.Repeat([]string{"203.0.113.7"}, 5) },
		"DHT node":     func(n *Node) { n.DHTNodes = []string{"dht.example"} },
		"suspend":      func(n *Node) { n.SuspendFor = 1 },
		"relay limits": func(n *Node) { n.Relay.Streams = -1 },
	} {
		if err := d.Update(func(n *Node) error { change(n); return nil }); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
