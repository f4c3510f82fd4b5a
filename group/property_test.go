package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith.alt/kith"
)

// A world is hosts that write on what each has seen, rightly or not: some
// views are behind, some are restored from a copy.
type world struct {
	story
	names   []string
	views   map[string][]int // positions in entries, parents first
	copies  map[string][]int
	invites []Hash
	log     *log // what any host would take
}

func drawWorld(rt *rapid.T, t testing.TB) *world {
	w := &world{story: *tell(t), names: []string{"founder", "ada", "bob", "cat", "dan", "eve"}, views: make(map[string][]int), copies: make(map[string][]int)}
	w.log = newLog(w.genesis)
	if err := w.log.add(w.entries[0], 0, false); err != nil {
		t.Fatal(err)
	}
	for _, name := range w.names {
		w.views[name] = []int{0}
	}
	// Most worlds begin with some admins that know each other.
	for _, name := range w.names[1:rapid.IntRange(1, len(w.names)).Draw(rt, "admins")] {
		w.write("founder", body{Kind: kindAdmit, Subject: testID(name), Host: name, Admin: true})
	}
	for _, name := range w.names {
		w.views[name] = slices.Clone(w.views["founder"])
	}
	name := rapid.SampledFrom(w.names)
	for range rapid.IntRange(1, 30).Draw(rt, "steps") {
		author, other := name.Draw(rt, "author"), name.Draw(rt, "other")
		switch rapid.IntRange(0, 11).Draw(rt, "step") {
		case 0, 1:
			w.views[author] = union(w.views[author], w.views[other])
		case 2:
			w.copies[author] = w.views[author]
		case 3:
			if old, ok := w.copies[author]; ok {
				w.views[author] = old
			}
		case 4:
			w.write(author, body{Kind: kindAdmit, Subject: testID(other), Host: other, Admin: rapid.Bool().Draw(rt, "admin"), Overrides: w.endings(author, other)})
		case 5, 6, 7:
			if author != other {
				w.write(author, body{Kind: kindRevoke, Subject: testID(other)})
			}
		case 8:
			w.write(author, body{Kind: kindRole, Subject: testID(other), Admin: rapid.Bool().Draw(rt, "admin")})
		case 9:
			w.write(author, body{Kind: kindLeave})
		case 10:
			w.write(author, body{Kind: kindRename, Host: rapid.SampledFrom([]string{"maple", "oak", "maple-" + testID(other).Short()}).Draw(rt, "name")})
		case 11:
			if len(w.invites) == 0 || rapid.Bool().Draw(rt, "new") {
				w.invites = append(w.invites, w.write(author, body{Kind: kindInvite, Key: make([]byte, 32), Uses: 1, Expires: 1, Admin: true}))
				continue
			}
			w.write(author, body{Kind: kindAdmit, Subject: testID(other), Host: other, Admin: true, Invite: rapid.SampledFrom(w.invites).Draw(rt, "invite")})
		}
	}
	return w
}

func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// write adds an entry on top of what author has seen. Nobody sees one that no
// log takes.
func (w *world) write(author string, b body) Hash {
	var seen []*Entry
	inner := make(map[Hash]bool)
	for _, i := range w.views[author] {
		seen = append(seen, w.entries[i])
		for _, parent := range w.entries[i].body.Parents {
			inner[parent] = true
		}
	}
	var heads []Hash
	for _, e := range seen {
		if !inner[e.hash] && len(heads) < MaxParents {
			heads = append(heads, e.hash)
		}
	}
	hash := w.says(author, b, heads...)
	at := slices.IndexFunc(w.entries, func(e *Entry) bool { return e.hash == hash })
	if at < len(w.entries)-1 { // said twice: one entry
		w.entries = w.entries[:len(w.entries)-1]
	}
	if err := w.log.add(w.entries[at], 0, false); err == nil || errors.Is(err, errKnown) {
		w.views[author] = union(w.views[author], []int{at})
	}
	return hash
}

// endings are what an honest author would lift.
func (w *world) endings(author, host string) []Hash {
	var seen []*Entry
	for _, i := range w.views[author] {
		seen = append(seen, w.entries[i])
	}
	hashes, _ := Merge(w.genesis, seen).endings(testID(host))
	return hashes
}

func TestMergeProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, t)
		r := Merge(w.genesis, w.entries)
		said := describe(r)

		mixed := rapid.Permutation(w.entries).Draw(rt, "order")
		mixed = append(mixed, mixed[:len(mixed)/2]...)
		if again := describe(Merge(w.genesis, mixed)); again != said {
			rt.Fatalf("another order gives\n%s\nnot\n%s", again, said)
		}
		checkRoster(rt, r)

		// In pieces, as hosts get them: the order of what is there stays.
		for _, name := range w.names {
			var seen []*Entry
			for _, i := range w.views[name] {
				seen = append(seen, w.entries[i])
			}
			part := Merge(w.genesis, seen)
			last := -1
			for _, n := range part.merge.nodes {
				if at := r.merge.index[n.hash]; at < last {
					rt.Fatalf("the order of old entries changed")
				} else {
					last = at
				}
			}
			checkRoster(rt, part)
		}

		// Two hosts that get them in different pieces take the same ones.
		one := newGroup(testKey("ada"), newLog(w.genesis))
		two := newGroup(testKey("bob"), newLog(w.genesis))
		for _, e := range w.entries {
			must(e, applyOne(one, e))
		}
		for len(two.log.entries) < len(one.log.entries) {
			before := len(two.log.entries)
			for _, e := range mixed {
				must(e, applyOne(two, e))
			}
			if len(two.log.entries) == before {
				rt.Fatalf("one host took %d entries, the other %d", len(one.log.entries), before)
			}
		}
		if a, b := describe(one.Roster()), describe(two.Roster()); a != b {
			rt.Fatalf("two hosts differ:\n%s\n%s", a, b)
		}
		if a, b := members(one.Roster()), members(r); a != b {
			rt.Fatalf("the log's filter changes the roster: %q, not %q", a, b)
		}
	})
}

func applyOne(g *Group, e *Entry) error {
	_, err := g.apply(context.Background(), []*Entry{e})
	return err
}

// checkRoster holds a roster to what every roster promises.
func checkRoster(rt *rapid.T, r *Roster) {
	m := r.merge
	if len(r.members) > 0 && r.Admins() == 0 {
		rt.Fatalf("no admin among %s", members(r))
	}
	names := make(map[string]kith.ID)
	for _, member := range r.members {
		if err := kith.CheckLabel(member.Host); err != nil {
			rt.Fatal(err)
		}
		if id, err := r.Resolve(member.Host); err != nil || id != member.ID {
			rt.Fatalf("%s is %v, %v", member.Host, id, err)
		}
		names[member.Host] = member.ID
		if !r.Counts(member.Entry) {
			rt.Fatalf("%s is a member by an entry without effect", member.Host)
		}
		if _, out := r.Removal(member.ID); out {
			rt.Fatalf("%s is in and out", member.Host)
		}
	}
	if len(slices.Collect(maps.Keys(names))) != len(r.members) {
		rt.Fatalf("two members of one name: %s", members(r))
	}
	used := make(map[Hash]map[kith.ID]bool)
	for i, n := range m.nodes {
		if m.counts[i] == maybe {
			rt.Fatalf("entry %d is undecided", i)
		}
		// A fixed point: every entry has the value that the rules give it.
		if v := m.evaluate(i); !m.overruled[i] && v != m.counts[i] {
			rt.Fatalf("entry %d counts %d, by the rules %d\n%s", i, m.counts[i], v, describe(r))
		}
		if m.counts[i] != yes {
			continue
		}
		if n.effect == kindAdmit && n.invite >= 0 {
			if used[n.body.Invite] == nil {
				used[n.body.Invite] = make(map[kith.ID]bool)
			}
			used[n.body.Invite][n.body.Subject] = true
			if uses := m.nodes[n.invite].body.Uses; len(used[n.body.Invite]) > uses {
				rt.Fatalf("a ticket for %d let in %d", uses, len(used[n.body.Invite]))
			}
		}
		// What a revoked host said unseen counts only under a later admission.
		for _, end := range m.hosts[n.body.Author].endings {
			if end == i || m.counts[end] != yes || m.nodes[end].past.has(i) {
				continue
			}
			if !slices.ContainsFunc(m.hosts[n.body.Author].admissions, func(a int) bool { return n.past.has(a) && m.lifts(a, end) }) {
				rt.Fatalf("entry %d by %s counts, though revoked by %d", i, n.body.Author.Short(), end)
			}
		}
	}
	for i := range m.overruled {
		if m.nodes[i].effect != kindRevoke && m.nodes[i].effect != kindLeave {
			rt.Fatalf("entry %d of kind %s is overruled", i, m.nodes[i].effect)
		}
	}
}

// The admin of a conflict of two that was admitted first always stays.
func TestSeniorStays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := tell(t)
		hosts := rapid.Permutation([]string{"ada", "bob", "cat", "dan", "eve"}).Draw(rt, "hosts")
		hosts = hosts[:rapid.IntRange(2, len(hosts)).Draw(rt, "size")]
		top := s.chain(hosts...)
		circle := rapid.Permutation(hosts).Draw(rt, "circle")
		for i, host := range circle {
			on := top
			for j := range rapid.IntRange(0, 2).Draw(rt, "before") {
				on = s.says(host, body{Kind: "poll", Host: fmt.Sprint(j)}, on)
			}
			s.revokes(host, circle[(i+1)%len(circle)], on)
		}
		r := Merge(s.genesis, s.entries)
		if _, ok := r.Member(testID(hosts[0])); !ok {
			rt.Fatalf("%s, the most senior, is out: %s", hosts[0], members(r))
		}
		checkRoster(rt, r)
	})
}
