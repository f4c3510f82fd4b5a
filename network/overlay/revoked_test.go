package overlay

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
)

// refusing has a host that knows admit everybody but one.
func refusing(id kith.ID, knows *atomic.Bool) func(*Config) {
	return func(c *Config) {
		admit := c.Admit
		c.Admit = func(peer kith.ID, proof []byte) error {
			if peer == id && knows.Load() {
				return kith.NotMember
			}
			return admit(peer, proof)
		}
	}
}

// ends reports how long it takes until a conn ends, and with what.
func ends(t *testing.T, conn net.Conn, since time.Time) (time.Duration, error) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, conn)
	return time.Since(since), err
}

// TestRevokedBehindRelay revokes a host that is reached through a member that has
// not heard of it: its sockets end at once, open or suspended, and it does
// not come back.
func TestRevokedBehindRelay(t *testing.T) {
	for _, suspended := range []bool{false, true} {
		var knows atomic.Bool
		c := newClub()
		revoked := idOf(newKey(2))
		a := c.member(t, 1, refusing(revoked, &knows))
		b, ignorant := c.member(t, 2), c.member(t, 3, relaysMuch)
		c.hidden(a, b)
		meet(t, ignorant, a, b)
		dialed, accepted := connected(t, a, b)
		back, came := connected(t, b, a)
		exchange(t, dialed, accepted)
		exchange(t, back, came)
		if path, via := pathOf(a, b); path != pathRelayed || via != ignorant.id {
			t.Fatalf("path %q through %s", path, via.Short())
		}
		if suspended {
			ignorant.Shut()
			c.hidden(ignorant)
			for _, o := range []*Overlay{a, b} {
				cut(o, ignorant)
			}
			waitFor(t, "the sockets to be suspended", func() bool {
				return len(a.Peers()) == 0 && !a.Sockets()[0].Suspended.IsZero()
			})
		}
		knows.Store(true)
		began := time.Now()
		a.Drop(revoked, kith.NotMember)
		for _, conn := range []net.Conn{dialed, came} {
			if took, err := ends(t, conn, began); took > 2*time.Second || !errors.Is(err, kith.NotMember) {
				t.Errorf("ended after %v with %v", took, err)
			}
		}
		if !suspended {
			waitFor(t, "both to know", func() bool {
				one, _ := pathOf(a, b)
				other, _ := pathOf(b, a)
				return one == "" && other == ""
			})
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the carrier ended after %v", took)
			}
			if err := b.Connect(t.Context(), a.id); !errors.Is(err, kith.NotMember) {
				t.Errorf("the revoked host connects: %v, want kind %q", err, kith.NotMember)
			}
		}
		if path, _ := pathOf(a, b); path != "" || a.held() > 0 {
			t.Errorf("path %q to the revoked host, %d sockets", path, a.held())
		}
	}
}

// TestRevokedRelay revokes a relay: what passed through it takes another way,
// though the other end has not heard of it.
func TestRevokedRelay(t *testing.T) {
	var knows atomic.Bool
	c := newClub()
	revoked := idOf(newKey(3))
	a, b := c.member(t, 1, refusing(revoked, &knows)), c.member(t, 2)
	relay := c.member(t, 3, relaysMuch)
	c.hidden(a, b)
	meet(t, relay, a, b)
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	other := c.member(t, 4, relaysMuch)
	meet(t, other, a, b)

	knows.Store(true)
	began := time.Now()
	a.Drop(revoked, kith.NotMember)
	waitFor(t, "the way through the revoked host to end", func() bool { _, via := pathOf(a, b); return via != revoked })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the way through the revoked host ended after %v", took)
	}
	exchange(t, dialed, accepted)
	if _, via := pathOf(a, b); via != other.id {
		t.Errorf("through %s", via.Short())
	}

	// It is still listed, and still tries.
	if err := relay.Connect(t.Context(), a.id); err == nil {
		t.Error("the revoked relay connects")
	}
}

// TestListedRelayIsNoMember: that a relay was revoked, or refuses us, is no
// answer of the peer's.
func TestListedRelayIsNoMember(t *testing.T) {
	c := newClub()
	revoked := c.stranger(t, 3)
	list := func(config *Config) { config.Relays = func(kith.ID) []kith.ID { return []kith.ID{revoked.id} } }
	a, b, relay := c.member(t, 1, list), c.member(t, 2), c.member(t, 4, relaysMuch)
	c.hidden(a, b)
	meet(t, relay, a, b)
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
}

// TestClone has two hosts with one key meet: they do not take each other for a
// peer.
func TestClone(t *testing.T) {
	c := newClub()
	a, clone, b := c.member(t, 1), c.member(t, 1), c.member(t, 2)
	l, err := a.connectDirect(t.Context(), a.id, nil)
	if !errors.Is(err, kith.Exists) || len(a.Peers())+len(clone.Peers()) > 0 {
		t.Errorf("%v, %v; peers %v and %v", l, err, a.Peers(), clone.Peers())
	}
	// To others they are one host that restarts again and again. One is gone
	// before the other comes: else they would take b from each other.
	for _, o := range []*Overlay{a, clone, a} {
		dialed, accepted := connected(t, o, b)
		exchange(t, dialed, accepted)
		o.Drop(b.id, kith.Unreachable)
		waitFor(t, "the peer to notice", func() bool { return len(b.Peers()) == 0 })
	}
}
