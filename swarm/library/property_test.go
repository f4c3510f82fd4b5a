package library

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kith.alt/kith"
)

// records lists copies of what a library holds, in an order of their own.
func (h *host) records() []*record {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Library.mu.Lock()
	defer h.Library.mu.Unlock()
	var list []*record
	for _, s := range h.shelves {
		for _, r := range s.entries {
			list = append(list, copyOf(r))
		}
		if s.holdings != nil {
			list = append(list, copyOf(s.holdings))
		}
	}
	slices.SortFunc(list, func(a, b *record) int { return bytes.Compare(a.raw, b.raw) })
	return list
}

func copyOf(r *record) *record {
	return &record{kind: r.kind, raw: r.raw, signature: r.signature, mark: r.mark, group: r.group, entry: r.entry, contents: r.contents}
}

type line struct {
	host  kith.ID
	title string
}

// TestAgreement has hosts publish, withdraw, meet in part, meet old copies of
// what others said, and be restored from copies of themselves. No
// library that was not restored ever goes back; when all have met all
// they have the same, and what a host said since it was restored is in force.
func TestAgreement(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var thrown any // by rapid, which ends tries so
		synctest.Test(t, func(t *testing.T) {
			defer func() { thrown = recover() }()
			agree(rt, t)
		})
		if thrown != nil {
			panic(thrown)
		}
	})
}

func agree(rt *rapid.T, t *testing.T) {
	names := []string{"maple", "oak", "ash", "elm"}[:rapid.IntRange(2, 4).Draw(rt, "hosts")]
	hosts := make(map[string]*host)
	copies := make(map[string][]*record)
	said := make(map[line]kith.Entry) // since its host was restored last
	seen := make(map[string]map[line]uint64)
	var everything []*record
	for _, name := range names {
		hosts[name], seen[name] = newHost(t, name, nil), make(map[line]uint64)
	}
	give := func(to, from string, records []*record) {
		if err := hosts[to].take(t.Context(), records, testID(from)); err != nil {
			rt.Fatal(err)
		}
	}
	name, title := rapid.SampledFrom(names), rapid.SampledFrom([]string{"a", "b"})
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		who, other := name.Draw(rt, "who"), name.Draw(rt, "other")
		h := hosts[who]
		time.Sleep(time.Second)
		switch step := rapid.SampledFrom([]string{"publish", "publish", "withdraw", "hold", "meet", "meet", "replay", "copy", "restore"}).Draw(rt, "step"); step {
		case "publish":
			at := line{h.id, title.Draw(rt, "title")}
			e := h.publish(t, at.title, rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "content"))
			if e.Published.Equal(time.Now()) { // it was not listed so before
				said[at] = e
			}
		case "withdraw":
			at := line{h.id, title.Draw(rt, "title")}
			if h.Withdraw(t.Context(), at.title) == nil {
				said[at], _ = h.Entry(h.id, at.title)
			}
		case "hold":
			h.SetHoldings([]kith.ContentID{testContent(rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "content"))})
		case "meet":
			records := rapid.Permutation(hosts[other].records()).Draw(rt, "records")
			if n := len(records); n > 0 {
				give(who, other, records[:rapid.IntRange(1, n).Draw(rt, "some")])
			}
		case "replay":
			if n := len(everything); n > 0 {
				give(who, other, []*record{copyOf(everything[rapid.IntRange(0, n-1).Draw(rt, "old")])})
			}
		case "copy":
			copies[who] = h.records()
		case "restore":
			h = newHost(t, who, nil)
			for _, r := range copies[who] {
				if r.kind == kindEntry {
					h.shelve(copyOf(r))
				}
			}
			hosts[who] = h
			clear(seen[who])
			for at := range said {
				if at.host == h.id {
					delete(said, at)
				}
			}
		}
		everything = append(everything, h.records()...)
		for _, r := range h.records() {
			at := line{r.host(), r.entry.Title}
			if r.entry.Version < seen[who][at] {
				rt.Fatalf("%s goes back to an older version", who)
			}
			seen[who][at] = r.entry.Version
		}
	}
	for range 2 * len(names) {
		for _, a := range names {
			for _, b := range names {
				give(a, b, hosts[b].records())
			}
		}
	}
	for _, name := range names[1:] {
		_, a := hosts[name].summaries()
		_, b := hosts[names[0]].summaries()
		if a != b || hosts[name].text() != hosts[names[0]].text() {
			rt.Fatalf("not the same:\n%s\n%s", hosts[name].text(), hosts[names[0]].text())
		}
	}
	for at, want := range said {
		got, _ := hosts[names[0]].Entry(at.host, at.title)
		if got.Content != want.Content || got.Withdrawn != want.Withdrawn || got.Version < want.Version {
			rt.Fatalf("what a host said is not in force: %+v, got %+v", want, got)
		}
	}
}

// TestManyHosts has fifty hosts, each connected to a few, some cut off for a
// while.
func TestManyHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hosts, titles = 50, 3
		start := time.Now()
		all := make([]*host, hosts)
		for i := range all {
			all[i] = newHost(t, string(rune('a'+i/26))+string(rune('a'+i%26)), nil)
			for n := range titles {
				all[i].publish(t, string(rune('a'+n)), "first")
			}
			all[i].SetHoldings([]kith.ContentID{testContent("first"), testContent(all[i].name)})
		}
		var stops []func() (error, error)
		sent := func() int64 { return 0 }
		for i := range all {
			for _, step := range []int{1, 7, 12} {
				traffic, stop := connect(t, all[i], all[(i+step)%hosts])
				before := sent
				sent = func() int64 { return before() + traffic.Load() }
				stops = append(stops, stop)
			}
		}
		for at := time.Now(); slices.ContainsFunc(all, func(h *host) bool { return len(h.Entries()) < hosts*titles }); time.Sleep(time.Second) {
			if time.Since(at) > 3*time.Minute {
				t.Fatal("they do not come to the same in three minutes")
			}
		}
		t.Logf("all have met all after %v", time.Since(start))
		time.Sleep(time.Minute)
		same(t, all...)
		if n := len(all[7].Entries()); n != hosts*titles {
			t.Errorf("%d entries", n)
		}
		if n := len(all[7].Holders(testContent("first"))); n != hosts {
			t.Errorf("%d holders", n)
		}
		t.Logf("to begin with: %d KB for each host", sent()/hosts/1000)

		time.Sleep(3 * time.Hour)
		before := sent()
		time.Sleep(24 * time.Hour)
		if n := sent() - before; n != 0 {
			t.Errorf("a day without news costs %d bytes", n)
		}

		began := time.Now()
		all[0].publish(t, "news", "second")
		for !slices.ContainsFunc(all[31].Entries(), func(e kith.Entry) bool { return e.Title == "news" }) {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("news take %v", took)
		}
		time.Sleep(time.Hour)
		same(t, all...)
		entry := sent() - before
		all[0].SetHoldings([]kith.ContentID{testContent("second")})
		time.Sleep(time.Hour)
		same(t, all...)
		t.Logf("an entry: %d bytes for each host; holdings: %d", entry/hosts, (sent()-before-entry)/hosts)
		if entry/hosts > 4000 {
			t.Errorf("an entry costs %d bytes for each host", entry/hosts)
		}

		// Connections end at random; what is published meanwhile arrives later.
		for _, i := range rand.Perm(len(stops))[:len(stops)*2/3] {
			stops[i]()
		}
		for i, h := range all {
			h.publish(t, "news", string(rune('a'+i)))
			if i%3 == 0 {
				if err := h.Withdraw(t.Context(), "a"); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Minute)
		for i := range all {
			connect(t, all[i], all[(i+3)%hosts])
		}
		time.Sleep(10 * time.Minute)
		same(t, all...)
	})
}
