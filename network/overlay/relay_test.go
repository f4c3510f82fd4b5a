package overlay

import (
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func relaysMuch(c *Config) {
	c.RelayLimits = RelayLimits{BytesPerSecond: 1 << 40, BytesPerDay: 1 << 40, Streams: 1 << 10}
}

// hidden has nobody know where the members are.
func (c *club) hidden(members ...*Overlay) {
	for _, o := range members {
		c.place(o.id)
	}
}

// meet has the members connect to the relay.
func meet(t testing.TB, relay *Overlay, members ...*Overlay) {
	t.Helper()
	for _, o := range members {
		if err := o.Connect(t.Context(), relay.id); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the relay to have them", func() bool { return len(relay.Peers()) >= len(members) })
}

// pathOf is how a sees b, and through whom.
func pathOf(a, b *Overlay) (path string, via kith.ID) {
	for _, p := range a.Peers() {
		if p.ID == b.id {
			return p.Path, p.Via
		}
	}
	return "", kith.ID{}
}

// TestRelayed has two members that cannot dial each other meet through a third,
// and move to another when that leaves, and to a direct path when there is one.
func TestRelayed(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	m, n := c.member(t, 3, relaysMuch), c.member(t, 4, relaysMuch)
	where := c.where(b.id)
	c.hidden(a, b)
	meet(t, m, a, b)
	meet(t, n, a, b)
	dialed, accepted := connected(t, a, b)
	path, first := pathOf(a, b)
	if path != pathRelayed || first != m.id && first != n.id {
		t.Fatalf("path %q through %v", path, first.Short())
	}
	exchange(t, dialed, accepted)
	if peer, _ := kith.PeerOf(accepted); peer.ID != a.id {
		t.Errorf("the caller is %s, want %s", peer.ID, a.id)
	}

	left, stays := m, n
	if first == n.id {
		left, stays = n, m
	}
	if use := left.Relayed(); use.Streams == 0 || use.Today < 100 || use.Total < 100 {
		t.Errorf("the relay counts %+v", use)
	}
	c.set(left.id, false)
	for _, o := range []*Overlay{a, b} {
		o.Drop(left.id, kith.NotMember)
	}
	exchange(t, dialed, accepted)
	if path, via := pathOf(a, b); path != pathRelayed || via != stays.id {
		t.Errorf("path %q through %v, want through the other relay", path, via.Short())
	}

	c.place(b.id, where...)
	waitFor(t, "a direct path", func() bool { path, _ := pathOf(a, b); return path == pathLAN })
	if err := errors.Join(transfer(dialed, accepted, 1, 1<<20), transfer(accepted, dialed, 2, 1<<20)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the relay to be idle", func() bool { return stays.Relayed().Streams == 0 })
}

// TestRelayRefuses checks what a relay does not do.
func TestRelayRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		limits RelayLimits
		want   string
	}{
		"off":       {RelayLimits{Off: true}, "relays for nobody"},
		"daily cap": {RelayLimits{BytesPerDay: 1}, ""},
		"streams":   {RelayLimits{Streams: 1}, "relays 1 connections already"},
	} {
		t.Run(name, func(t *testing.T) {
			club := newClub()
			a, b, x := club.member(t, 1), club.member(t, 2), club.member(t, 4)
			m := club.member(t, 3, func(config *Config) { config.RelayLimits = c.limits })
			club.hidden(a, b, x)
			meet(t, m, a, b, x)
			if c.limits.Streams > 0 {
				if err := x.Connect(t.Context(), b.id); err != nil {
					t.Fatal(err)
				}
			}
			err := a.Connect(t.Context(), b.id)
			if !errors.Is(err, kith.Unreachable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q of kind %q", err, c.want, kith.Unreachable)
			}
		})
	}
	t.Run("whom it does not know", func(t *testing.T) {
		club := newClub()
		a, m := club.member(t, 1), club.member(t, 2)
		b := idOf(newKey(9))
		club.set(b, true)
		if err := a.Connect(t.Context(), m.id); err != nil {
			t.Fatal(err)
		}
		if err := a.Connect(t.Context(), b); !errors.Is(err, kith.Unreachable) || !strings.Contains(err.Error(), "no connection to host") {
			t.Errorf("%v, want kind %q", err, kith.Unreachable)
		}
	})
}

// TestReleaseSparesRelayed: a carrier that others' bytes pass over is in use.
func TestReleaseSparesRelayed(t *testing.T) {
	c := newClub()
	relay, a, b := c.member(t, 1), c.member(t, 2), c.member(t, 3)
	c.hidden(a, b)
	meet(t, relay, a, b)
	dialed, accepted := connected(t, a, b)
	for _, o := range []*Overlay{a, b} {
		if relay.Release(o.id) {
			t.Error("released what is in use")
		}
	}
	exchange(t, dialed, accepted)
	a.Drop(b.id, kith.NotMember)
	c.set(a.id, false) // they do not meet again
	waitFor(t, "the flow to end", func() bool { return relay.Relayed().Streams == 0 && !relay.relaysOver(b.id) })
	if !relay.Release(b.id) {
		t.Error("did not release what nobody uses")
	}
}

// TestRelayedToday takes over what counts only.
func TestRelayedToday(t *testing.T) {
	o := New(Config{Key: newKey(1)})
	day := o.Relayed().Day
	for _, n := range []int64{5, -3, math.MinInt64, 0} {
		o.RelayedToday(day, n)
	}
	o.RelayedToday(day-1, 7)
	if use := o.Relayed(); use.Today != 5 {
		t.Errorf("%d bytes, want 5", use.Today)
	}
}

// TestRelayWaitsForLevel: who may not know of a revocation yet is not relayed.
func TestRelayWaitsForLevel(t *testing.T) {
	c := newClub()
	relay, a, b := c.member(t, 1), c.member(t, 2), c.member(t, 3)
	c.hidden(a, b)
	meet(t, relay, a, b)
	l := relay.currentLink(a.id)
	l.level, l.leveled = make(chan struct{}), sync.Once{}
	st, err := a.currentLink(relay.id).openStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.reset()
	if _, err := st.Write(header{kind: forRelaying, host: b.id}.append(nil)); err != nil {
		t.Fatal(err)
	}
	st.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if refusal, err := readVerdict(st); !errors.Is(err, os.ErrDeadlineExceeded) || relay.Relayed().Streams > 0 {
		t.Errorf("%v, %v before the exchange", refusal, err)
	}
	relay.Level(a.id)
	st.SetReadDeadline(time.Now().Add(10 * time.Second))
	if refusal, err := readVerdict(st); refusal != nil || err != nil {
		t.Errorf("%v, %v after the exchange", refusal, err)
	}
}

// TestHeard: a peer that is silent shows.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		var lose atomic.Bool
		together(t, a, b, &lose)
		for range 600 {
			time.Sleep(time.Second)
			if silence := time.Since(a.Peers()[0].Heard); silence > 30*time.Second {
				t.Fatalf("a healthy peer is silent for %v", silence)
			}
		}
		lose.Store(true)
		time.Sleep(time.Second)
		last := a.Peers()[0].Heard
		time.Sleep(20 * time.Second)
		if heard := a.Peers()[0].Heard; heard != last {
			t.Errorf("heard after %v", heard.Sub(last))
		}
	})
}

// TestRelayShare: one caller has half of what the others leave of a day.
func TestRelayShare(t *testing.T) {
	r := newRelaying(RelayLimits{BytesPerSecond: 1 << 30, BytesPerDay: 1000})
	ctx, a, b := t.Context(), kith.ID{1}, kith.ID{2}
	for _, step := range []struct {
		caller kith.ID
		bytes  int
		ok     bool
	}{{a, 500, true}, {a, 1, false}, {b, 250, true}, {b, 1, false}, {a, 1, false}} {
		if err := r.pass(ctx, step.caller, step.bytes); (err == nil) != step.ok || err != nil && !errors.Is(err, kith.Quota) {
			t.Errorf("%d bytes for %s: %v", step.bytes, step.caller.Short(), err)
		}
	}
	if _, err := r.enter(a); !errors.Is(err, kith.Quota) {
		t.Errorf("%v, want kind %q", err, kith.Quota)
	}
}

// TestReachAlone has a socket to ourselves say nothing about our router.
func TestReachAlone(t *testing.T) {
	a := newClub().member(t, 1)
	connected(t, a, a)
	if r := a.Reach(); r.NAT != natUnknown || len(r.Outside) != 0 {
		t.Errorf("%+v, want nothing", r)
	}
}
