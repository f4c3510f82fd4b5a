package node_test

import (
	"errors"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
)

// TestNameMoves has a name come to mean another computer.
func TestNameMoves(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	echo(t, oak, 7000)
	dial := func() error {
		conn, err := maple.Dial(t.Context(), kith.Address{Host: "oak", Port: 7000})
		if err != nil {
			return err
		}
		return conn.Close()
	}
	if err := dial(); err != nil {
		t.Fatal(err)
	}
	if err := oak.Rename(t.Context(), control.RenameRequest{Host: "birch"}); err != nil {
		t.Fatal(err)
	}
	m.Until(maple, "birch", func(s control.Status) bool { return member(s, "birch").Host != "" })
	if err := dial(); err != nil {
		t.Fatalf("by the former name: %v", err)
	}
	elm := m.Add("elm", m.Invite(0))
	m.Met()
	if err := elm.Rename(t.Context(), control.RenameRequest{Host: "oak"}); err != nil {
		t.Fatal(err)
	}
	m.Until(maple, "another oak", func(s control.Status) bool { return member(s, "oak").Host != "" })
	echo(t, elm, 7000)
	if err := dial(); !errors.Is(err, kith.Denied) {
		t.Fatalf("dial a name that moved: %v, want kind %q", err, kith.Denied)
	}
	maple.Stop()
	m.Start(maple)
	m.Met()
	if err := dial(); !errors.Is(err, kith.Denied) {
		t.Fatalf("after a restart: %v, want kind %q", err, kith.Denied)
	}
	m.Until(maple, "oak moved", func(s control.Status) bool { return member(s, "oak").Moved })
	if err := maple.Trust(t.Context(), "oak"); err != nil {
		t.Fatal(err)
	}
	if err := dial(); err != nil {
		t.Fatalf("after it was confirmed: %v", err)
	}
}
