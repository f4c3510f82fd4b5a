package group

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// exchange has two groups sync and counts how often each calls level; check is
// called by level, with the group that calls.
func exchange(t *testing.T, a, b *Group, check func(*Group)) (levels *[2]atomic.Int32, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	left, right := newPipe()
	levels = new([2]atomic.Int32)
	var running sync.WaitGroup
	running.Go(func() { a.Sync(ctx, left, b.ID(), func() { levels[0].Add(1); check(a) }) })
	running.Go(func() { b.Sync(ctx, right, a.ID(), func() { levels[1].Add(1); check(b) }) })
	return levels, func() { cancel(); running.Wait() }
}

func TestLevel(t *testing.T) {
	for _, test := range []struct {
		what   string
		before func(t *testing.T, maple, oak *Group) // while apart
	}{
		{"the same", func(*testing.T, *Group, *Group) {}},
		{"one side", func(t *testing.T, maple, _ *Group) { rename(t, maple, "elm") }},
		{"the other side", func(t *testing.T, _, oak *Group) { rename(t, oak, "elm") }},
		{"both sides", func(t *testing.T, maple, oak *Group) { rename(t, maple, "elm"); rename(t, oak, "ash") }},
		{"many", func(t *testing.T, maple, oak *Group) {
			for i := range 300 { // several frames, in both directions
				rename(t, maple, fmt.Sprintf("elm%d", i))
				rename(t, oak, fmt.Sprintf("ash%d", i))
			}
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				maple := found(t, "maple")
				oak := enlarge(t, maple, "oak")
				test.before(t, maple, oak)
				same := maple.Digest() == oak.Digest()
				if (test.what == "the same") != same {
					t.Errorf("the digests are the same: %t", same)
				}
				had := [][]*Entry{maple.state.Load().entries, oak.state.Load().entries}
				levels, stop := exchange(t, maple, oak, func(g *Group) {
					for _, entries := range had {
						for _, e := range entries {
							if _, ok := g.Roster().merge.index[e.hash]; !ok {
								t.Errorf("%s is level and lacks an entry", g.ID().Short())
								return
							}
						}
					}
				})
				synctest.Wait()
				if a, b := levels[0].Load(), levels[1].Load(); a != 1 || b != 1 {
					t.Errorf("level was called %d and %d times", a, b)
				}
				if maple.Digest() != oak.Digest() {
					t.Error("the digests differ")
				}
				rename(t, maple, "walnut")
				time.Sleep(time.Minute)
				if a, b := levels[0].Load(), levels[1].Load(); a != 1 || b != 1 {
					t.Errorf("later, level was called %d and %d times", a, b)
				}
				stop()
			})
		})
	}
}

func rename(t *testing.T, g *Group, host string) {
	t.Helper()
	if err := g.Rename(t.Context(), kith.Name{Host: host}); err != nil {
		t.Fatal(err)
	}
}

// Two that turn out to have no business with each other are never level; nor
// is a peer that says nothing, or says only that it has everything.
func TestNotLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		if err := maple.Revoke(t.Context(), oak.ID()); err != nil {
			t.Fatal(err)
		}
		levels, stop := exchange(t, oak, maple, func(*Group) {})
		time.Sleep(time.Minute)
		stop()
		if a, b := levels[0].Load(), levels[1].Load(); a != 0 || b != 0 {
			t.Errorf("with a revoked host, level was called %d and %d times", a, b)
		}

		elm := enlarge(t, maple, "elm")
		for what, stream := range map[string][]byte{
			"silence": nil,
			"taken":   append(frame(frameHave, []byte{0}), frame(frameTaken, nil)...),
			"given":   append(frame(frameSent, nil), frame(frameSent, nil)...),
		} {
			left, right := newPipe()
			right.Write(append(validHello(t, maple.log.genesis), stream...))
			right.(*pipe).out.close()
			maple.Sync(t.Context(), left, elm.ID(), func() { t.Errorf("%s: level", what) })
		}
	})
}

// The digest is that of the entries, whatever the order in which they came.
func TestDigest(t *testing.T) {
	s := tell(t)
	for _, host := range []string{"ada", "bob", "cat"} {
		s.admits("founder", host, s.genesis)
	}
	digestOf := func(entries ...*Entry) [32]byte {
		g := newGroup(testKey("ada"), newLog(s.genesis))
		if _, err := g.apply(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		return g.Digest()
	}
	e := s.entries
	if digestOf(e[0], e[1], e[2], e[3]) != digestOf(e[0], e[3], e[1], e[2]) {
		t.Error("another order has another digest")
	}
	if digestOf(e[0], e[1]) == digestOf(e[0], e[2]) || digestOf(e[0]) == digestOf() {
		t.Error("other entries have the same digest")
	}
}

// What came from a peer is not sent back to it.
func TestNothingGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		stop := connect(t, maple, oak)
		synctest.Wait()
		before := maple.Traffic()
		for i := range 50 {
			rename(t, oak, fmt.Sprintf("elm%d", i))
			if err := oak.SetWhereabouts(t.Context(), Whereabouts{Addresses: addressList(fmt.Sprintf("192.0.2.%d:4747", i+1))}); err != nil {
				t.Fatal(err)
			}
			if err := oak.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if maple.Digest() != oak.Digest() || maple.Whereabouts(oak.ID()).Addresses[0] != oak.Whereabouts(oak.ID()).Addresses[0] {
			t.Error("the two do not agree")
		}
		if used := maple.Traffic().since(before); used.Frames != 0 {
			t.Errorf("maple, which has nothing to say, sent %+v", used)
		}
		stop()
	})
}
