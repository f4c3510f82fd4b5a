package group

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// bigGroup is a group of n hosts, of which host 0 let in all others, as each of
// hosts knows it. Entries are signed once and shared.
func bigGroup(t testing.TB, n int) []*Group {
	t.Helper()
	s := tell(t)
	top := s.genesis
	names := []string{"founder"}
	for i := 1; i < n; i++ {
		names = append(names, fmt.Sprintf("host%03d", i))
		top = s.says("founder", body{Kind: kindAdmit, Subject: testID(names[i]), Host: names[i], Admin: i < 3}, top)
	}
	roster := Merge(s.genesis, s.entries)
	groups := make([]*Group, n)
	for i, name := range names {
		g := newGroup(testKey(name), newLog(s.genesis))
		for _, e := range s.entries {
			if err := g.log.add(e, 0, true); err != nil {
				t.Fatal(err)
			}
		}
		g.publish(&state{roster: roster})
		groups[i] = g
	}
	return groups
}

// A web is groups with exchanges between some pairs of them.
type web struct {
	groups  []*Group
	ctx     context.Context
	running sync.WaitGroup
	links   map[[2]int]context.CancelFunc
}

// weave joins each group to degree others on average, at random, after a ring
// that holds all of them together.
func weave(ctx context.Context, groups []*Group, degree int) *web {
	w := &web{groups: groups, ctx: ctx, links: make(map[[2]int]context.CancelFunc)}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range groups {
		w.link(i, (i+1)%len(groups))
	}
	for len(w.links) < len(groups)*degree/2 {
		if a, b := random.IntN(len(groups)), random.IntN(len(groups)); a != b {
			w.link(a, b)
		}
	}
	return w
}

func (w *web) link(i, j int) {
	pair := [2]int{min(i, j), max(i, j)}
	if w.links[pair] != nil {
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	w.links[pair] = cancel
	a, b := w.groups[i], w.groups[j]
	w.running.Go(func() {
		out := func(g, of *Group) bool { _, out := of.Roster().Removal(g.ID()); return out }
		for ctx.Err() == nil && !out(a, b) && !out(b, a) { // where one has not heard of the other yet, again
			a.Admit(b.ID(), b.Proof())
			b.Admit(a.ID(), a.Proof())
			left, right := newPipe()
			var both sync.WaitGroup
			both.Go(func() { a.Sync(ctx, left, b.ID(), nil) })
			both.Go(func() { b.Sync(ctx, right, a.ID(), nil) })
			both.Wait()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
}

func (w *web) unlink(a, b int) {
	pair := [2]int{min(a, b), max(a, b)}
	if cancel := w.links[pair]; cancel != nil {
		cancel()
		delete(w.links, pair)
	}
}

// cut ends the exchanges between the groups before at and those from at on,
// and returns what brings them back.
func (w *web) cut(at int) (heal func()) {
	var pairs [][2]int
	for pair, cancel := range w.links {
		if pair[0] < at && pair[1] >= at {
			cancel()
			delete(w.links, pair)
			pairs = append(pairs, pair)
		}
	}
	return func() {
		for _, pair := range pairs {
			w.link(pair[0], pair[1])
		}
	}
}

func (w *web) traffic() (sum Traffic) {
	for _, g := range w.groups {
		t := g.Traffic()
		sum.Frames += t.Frames
		sum.Bytes += t.Bytes
		sum.Entries += t.Entries
		sum.Records += t.Records
		sum.Beats += t.Beats
	}
	return sum
}

func (t Traffic) since(before Traffic) Traffic {
	return Traffic{t.Frames - before.Frames, t.Bytes - before.Bytes, t.Entries - before.Entries, t.Records - before.Records, t.Beats - before.Beats}
}

// lacking counts what hosts do not know of each other: addresses, and a beat
// that came after since.
func (w *web) lacking(since time.Time) (addresses, beats int) {
	for _, g := range w.groups {
		for _, other := range w.groups {
			if len(g.Whereabouts(other.ID()).Addresses) == 0 {
				addresses++
			}
			if g.Heard(other.ID()).Before(since) {
				beats++
			}
		}
	}
	return addresses, beats
}

// manyHosts is how many hosts the groups here have, unless KITH_TEST_MEMBERS says.
func manyHosts(t *testing.T) int {
	t.Helper()
	n := 60
	if raceDetector {
		n = 24
	}
	if text := os.Getenv("KITH_TEST_MEMBERS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 10 {
			t.Fatalf("KITH_TEST_MEMBERS: %q is no number from 10 on", text)
		}
	}
	return n
}

func TestManyHosts(t *testing.T) {
	t.Parallel()
	n := manyHosts(t)
	synctest.Test(t, func(t *testing.T) {
		groups := bigGroup(t, n)
		ctx, cancel := context.WithCancel(t.Context())
		w := weave(ctx, groups, 6)
		synctest.Wait()
		hello := w.traffic()
		t.Logf("%d hosts, %d links: %d frames, %d bytes until quiet", len(groups), len(w.links), hello.Frames, hello.Bytes)

		// All start at once and say where they are.
		start := time.Now()
		for i, g := range groups {
			at := Whereabouts{Addresses: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 4747)}, NAT: "cone"}
			if err := g.SetWhereabouts(ctx, at); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		if addresses, _ := w.lacking(time.Time{}); addresses > 0 {
			t.Errorf("%d records are not there after 10 seconds", addresses)
		}
		used := w.traffic().since(hello)
		t.Logf("records of all: %d frames, %d bytes, %.1f bytes per host and record", used.Frames, used.Bytes, float64(used.Bytes)/float64(n*n))

		// All beat every 30 seconds.
		before := w.traffic()
		const rounds, interval = 2, 30 * time.Second
		for range rounds {
			start = time.Now()
			for _, g := range groups {
				if err := g.Beat(ctx); err != nil {
					t.Fatal(err)
				}
				time.Sleep(interval / time.Duration(len(groups)))
			}
		}
		const late = 8 * beatEvery // over as many links as are between any two
		time.Sleep(late)
		if _, beats := w.lacking(start); beats > 0 {
			t.Errorf("%d beats are not there after %s", beats, late)
		}
		used = w.traffic().since(before)
		t.Logf("%d rounds of beats: per host and minute %.1f frames, %.0f bytes; each beat crosses a link %.2f times",
			rounds, float64(used.Beats)/float64(n)/rounds*2, float64(used.Bytes)/float64(n)/rounds*2,
			float64(used.Bytes)/float64(beatSize)/rounds/float64(n)/float64(len(w.links)))

		// One half loses the other, and both change.
		heal := w.cut(n / 2)
		synctest.Wait()
		if err := groups[1].Revoke(ctx, groups[n/3].ID()); err != nil {
			t.Fatal(err)
		}
		if err := groups[n*2/3].Rename(ctx, kith.Name{Host: "walnut"}); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups[n/2:] {
			if err := g.SetWhereabouts(ctx, Whereabouts{NAT: "open", Addresses: []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:1")}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		if _, out := groups[n-1].Roster().Removal(groups[n/3].ID()); out {
			t.Error("the news crossed the cut")
		}
		before = w.traffic()
		heal()
		start = time.Now()
		for groups[n-1].Digest() != groups[0].Digest() || groups[0].Whereabouts(groups[n-1].ID()).NAT != "open" {
			if time.Since(start) > 10*time.Second {
				t.Fatal("the halves do not agree after 10 seconds")
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("healed in %s", time.Since(start))
		time.Sleep(10 * time.Second)
		for i, g := range groups {
			if i != n/3 && g.Digest() != groups[0].Digest() {
				t.Errorf("host %d has another roster", i)
			}
		}
		used = w.traffic().since(before)
		t.Logf("healed: %d frames, %d bytes", used.Frames, used.Bytes)

		// Nothing to say, nothing sent.
		before = w.traffic()
		time.Sleep(time.Hour)
		if used = w.traffic().since(before); used.Frames > 0 {
			t.Errorf("%d frames in an idle hour", used.Frames)
		}
		cancel()
		w.running.Wait()
	})
}

// A school: many hosts join one after the other by one ticket, through one admin,
// within a second or two, and each takes its exchanges with six others up.
func TestJoinStorm(t *testing.T) {
	t.Parallel()
	joiners := manyHosts(t)
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		ticket, err := maple.Invite(t.Context(), InviteRequest{Uses: joiners}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := &web{groups: []*Group{maple}, ctx: ctx, links: make(map[[2]int]context.CancelFunc)}
		random := rand.New(rand.NewPCG(3, 4))
		telling := 0
		for i := range joiners {
			g, err := join(t, maple, ticket, fmt.Sprintf("host%03d", i))
			if err != nil {
				t.Fatal(err)
			}
			w.groups = append(w.groups, g)
			w.link(0, len(w.groups)-1)
			if err := g.AwaitJoined(ctx); err != nil {
				t.Fatal(err)
			}
			for range 3 { // and as many that come later
				if other := random.IntN(len(w.groups)); w.groups[other] != g {
					w.link(other, len(w.groups)-1)
				}
			}
			if len(w.links) > 20 { // the admin does not keep everybody
				w.unlink(0, len(w.groups)-10)
			}
			if i%4 == 0 {
				at := Whereabouts{Addresses: addressList(fmt.Sprintf("192.0.2.%d:4747", i+1))}
				if err := g.SetWhereabouts(ctx, at); err != nil {
					t.Fatal(err)
				}
				telling++
			}
			time.Sleep(5 * time.Millisecond)
		}
		start := time.Now()
		silent := (len(w.groups) - telling) * len(w.groups) // addresses that nobody told
		agreed := func() bool {
			for _, g := range w.groups {
				if g.Digest() != maple.Digest() {
					return false
				}
			}
			addresses, _ := w.lacking(time.Time{})
			return addresses == silent
		}
		for !agreed() {
			if time.Since(start) > 10*time.Second {
				addresses, _ := w.lacking(time.Time{})
				others := slices.DeleteFunc(slices.Clone(w.groups), func(g *Group) bool { return g.Digest() == maple.Digest() })
				t.Fatalf("ten seconds after the last one joined %d hosts have another roster, %d records are missing", len(others), addresses-silent)
			}
			time.Sleep(100 * time.Millisecond)
		}
		used := w.traffic()
		t.Logf("%d joined; all agree %s after the last; per host %.0f frames (%.0f of entries, %.0f of records), %.0f bytes", joiners, time.Since(start),
			float64(used.Frames)/float64(joiners), float64(used.Entries)/float64(joiners), float64(used.Records)/float64(joiners), float64(used.Bytes)/float64(joiners))
		cancel()
		w.running.Wait()
	})
}

// BenchmarkAdd is what it takes to merge one more entry into a roster.
func BenchmarkAdd(b *testing.B) {
	for _, members := range []int{200, 500, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			s := tell(b)
			top := s.genesis
			for i := 1; i < members; i++ {
				top = s.says("founder", body{Kind: kindAdmit, Subject: testID(fmt.Sprint(i)), Host: fmt.Sprintf("host%d", i)}, top)
			}
			s.says("founder", body{Kind: kindRename, Group: "lab"}, top)
			g := newGroup(testKey("founder"), newLog(s.genesis))
			last := len(s.entries) - 1
			for _, e := range s.entries[:last] {
				if err := g.log.add(e, 0, true); err != nil {
					b.Fatal(err)
				}
			}
			g.publish(&state{roster: Merge(s.genesis, s.entries[:last])})
			for b.Loop() {
				if n, err := g.apply(b.Context(), s.entries[last:]); n != 1 || err != nil {
					b.Fatal(n, err)
				}
				g.log.truncate(last)
			}
		})
	}
}
