package group

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kith.alt/kith"
)

func TestEntryIsKeptByteForByte(t *testing.T) {
	// A later release's entry: another kind, fields that we do not know.
	raw := []byte(fmt.Sprintf(`{ "v":2, "kind":"poll", "author":%q, "parents":[%q], "colour":"green"}`, testID("ada"), Hash{1}))
	e, err := parseEntry(raw, make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseEntries(appendEntry(nil, e))
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].raw, raw) || got[0].hash != e.hash || got[0].effect() != "" {
		t.Errorf("%v, %v", got, err)
	}
	if err := e.verify(); !errors.Is(err, kith.Denied) {
		t.Errorf("unsigned: %v", err)
	}
}

func TestBadEntries(t *testing.T) {
	author := testID("ada").String()
	for what, raw := range map[string]string{
		"not JSON":       `hello`,
		"not an object":  `[]`,
		"no author":      `{"v":1,"kind":"leave"}`,
		"no kind":        `{"v":1,"author":"` + author + `"}`,
		"no version":     `{"kind":"leave","author":"` + author + `"}`,
		"field twice":    `{"v":1,"kind":"leave","kind":"revoke","author":"` + author + `"}`,
		"other case":     `{"v":1,"Kind":"leave","author":"` + author + `"}`,
		"trailing bytes": `{"v":1,"kind":"leave","author":"` + author + `"}{}`,
		"parent twice":   `{"v":1,"kind":"leave","author":"` + author + `","parents":["` + Hash{}.String() + `","` + Hash{}.String() + `"]}`,
		"short parent":   `{"v":1,"kind":"leave","author":"` + author + `","parents":["00"]}`,
		"too large":      `{"v":1,"kind":"leave","author":"` + author + `","x":"` + strings.Repeat("x", MaxEntry) + `"}`,
		"many parents":   `{"v":1,"kind":"leave","author":"` + author + `","parents":[` + manyHashes(MaxParents+1) + `]}`,
	} {
		if _, err := parseEntry([]byte(raw), make([]byte, 64)); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func manyHashes(n int) string {
	var list []string
	for i := range n {
		list = append(list, `"`+Hash{byte(i)}.String()+`"`)
	}
	return strings.Join(list, ",")
}

func TestLogTakesOnlyWhatFits(t *testing.T) {
	s := tell(t)
	top := s.chain("ada")
	kid := s.says("ada", body{Kind: kindAdmit, Subject: testID("kid"), Host: "kid"}, top)
	g := newGroup(testKey("founder"), newLog(s.genesis))
	if n, err := g.apply(t.Context(), s.entries); n != 3 || err != nil {
		t.Fatalf("took %d, %v", n, err)
	}
	known := len(s.entries)
	s.admits("kid", "puppet", kid)                      // no admin
	s.admits("mallory", "puppet", kid)                  // no member
	s.says("ada", body{Kind: kindLeave}, Hash{1, 2, 3}) // no such parent
	s.says("ada", body{Kind: kindGenesis, Group: "x", Host: "x"})
	s.says("kid", body{Kind: kindRename, Host: "junior"}, kid)
	s.says("kid", body{Kind: "poll"}, kid)
	if n, err := g.apply(t.Context(), s.entries); n != 2 || err != nil {
		t.Errorf("took %d more, %v", n, err)
	}
	forged := must(sign(testKey("ada"), body{Kind: kindRename, Host: "eve", Parents: []Hash{top}}))
	forged.signature[3]++
	if n, err := g.apply(t.Context(), []*Entry{forged}); n != 0 || !errors.Is(err, kith.Denied) {
		t.Errorf("took %d forged, %v", n, err)
	}
	if got := len(g.log.heads()); got != 2 {
		t.Errorf("%d heads", got)
	}
	g.log.truncate(known)
	if heads := g.log.heads(); len(heads) != 1 || heads[0] != kid {
		t.Errorf("heads %v", heads)
	}
}

func TestManyHeadsAreJoined(t *testing.T) {
	s := tell(t)
	top := s.chain("ada", "bob")
	for i := range 3 * MaxParents {
		s.says("bob", body{Kind: "poll", Host: fmt.Sprint(i)}, top)
	}
	g := newGroup(testKey("ada"), newLog(s.genesis))
	if _, err := g.apply(t.Context(), s.entries); err != nil {
		t.Fatal(err)
	}
	if err := g.Revoke(t.Context(), testID("bob")); err != nil {
		t.Fatal(err)
	}
	if heads := g.log.heads(); len(heads) != 1 {
		t.Errorf("%d heads", len(heads))
	}
	other := newGroup(testKey("founder"), newLog(s.genesis))
	if n, err := other.apply(t.Context(), g.log.entries); n != len(g.log.entries) || err != nil {
		t.Errorf("another host took %d of %d, %v", n, len(g.log.entries), err)
	}
	wantMembers(t, other.Roster(), "ada* founder*")
}

func FuzzEntry(f *testing.F) {
	s := tell(f)
	s.revokes("ada", "bob", s.chain("ada", "bob"))
	for _, e := range s.entries {
		f.Add(e.raw)
	}
	f.Add([]byte(`{"v":1,"author":"","kind":"leave"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := parseEntry(raw, make([]byte, 64))
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Errorf("error without kind: %v", err)
			}
			return
		}
		again, err := parseEntries(appendEntry(nil, e))
		if err != nil || len(again) != 1 || again[0].hash != e.hash {
			t.Errorf("%q does not survive the wire: %v", raw, err)
		}
		Merge(s.genesis, append([]*Entry{e}, s.entries...))
		Merge(e.hash, []*Entry{e})
		if _, err := parseEntries(raw); err != nil && !errors.Is(err, kith.Invalid) {
			t.Errorf("error without kind: %v", err)
		}
		if _, err := parseRecord(raw, make([]byte, 64)); err != nil && !errors.Is(err, kith.Invalid) {
			t.Errorf("error without kind: %v", err)
		}
	})
}
