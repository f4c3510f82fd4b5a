package library

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

// entryOf makes a signed entry of the host name.
func entryOf(t testing.TB, name string, change func(*kith.Entry)) *record {
	t.Helper()
	e := kith.Entry{Host: testID(name), Title: "Holiday", Kind: "files", Version: 1, Content: testContent("a"), Name: "holiday", Size: 1, Files: 1,
		Published: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	if change != nil {
		change(&e)
	}
	r, err := signEntry(testKey(name), [32]byte{}, e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordRefuses(t *testing.T) {
	good := string(entryOf(t, "maple", nil).raw)
	signature := make([]byte, ed25519.SignatureSize)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s has no %s", good, old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, raw := range map[string]string{
		"not JSON":                "x",
		"an array":                "[]",
		"null":                    "null",
		"nothing":                 "{}",
		"more than one":           good + good,
		"format 0":                swap(`"v":2`, `"v":0`),
		"of no group":             swap(`"v":2`, `"v":1`),
		"half a group":            swap(`"group":"AAAA`, `"group":"`),
		"a field twice":           swap(`"v":2`, `"v":2,"version":9,"version":1`),
		"a field in another case": swap(`"v":2`, `"v":2,"Title":"other"`),
		"version 0":               swap(`"version":1`, `"version":0`),
		"a version too high":      swap(`"version":1`, fmt.Sprintf(`"version":%d`, uint64(MaxVersion)+1)),
		"the highest version":     swap(`"version":1`, `"version":18446744073709551615`),
		"a version below 0":       swap(`"version":1`, `"version":-1`),
		"nobody's":                swap(testID("maple").String(), ""),
		"a mistyped host":         swap(testID("maple").String(), "maple"),
		"no content":              swap(testContent("a").String(), ""),
		"content and withdrawn":   swap(`"v":2`, `"v":2,"withdrawn":true`),
		"no UTF-8":                swap("Holiday", "Holi\xffday"),
		"a year of five digits":   swap("2026-", "12026-"),
		"too long":                swap(`"v":2`, `"v":2,"x":"`+strings.Repeat("x", maxEntryBody)+`"`),
	} {
		if _, err := parseRecord(kindEntry, []byte(raw), signature); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseRecord(kindEntry, []byte(good), signature[1:]); !errors.Is(err, kith.Invalid) {
		t.Errorf("a short signature: %v", err)
	}
	if _, err := parseRecord(9, []byte(good), signature); !errors.Is(err, kith.Invalid) {
		t.Errorf("an unknown kind: %v", err)
	}
}

// TestRecordDomains has a signature over one kind of record not count for the
// other.
func TestRecordDomains(t *testing.T) {
	raw := []byte(fmt.Sprintf(`{"v":2,"group":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","host":%q,"version":1,"title":"a","kind":"files","content":%q,"published":"2026-01-02T03:04:05Z","contents":""}`, testID("maple"), testContent("a")))
	entry, err := parseRecord(kindEntry, raw, ed25519.Sign(testKey("maple"), append([]byte(kindEntry.domain()), raw...)))
	if err != nil || entry.verify() != nil {
		t.Fatalf("entry: %v", err)
	}
	holdings, err := parseRecord(kindHoldings, raw, entry.signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := holdings.verify(); !errors.Is(err, kith.Denied) {
		t.Errorf("an entry as holdings: %v", err)
	}
}

func TestHoldingsRefuse(t *testing.T) {
	body := holdingsBody{Format: recordFormat, Group: make([]byte, 32), Host: testID("maple"), Version: 1, Contents: make([]byte, prefixSize)}
	for name, contents := range map[string][]byte{
		"half a prefix": make([]byte, prefixSize/2),
		"one twice":     make([]byte, 2*prefixSize),
		"out of order":  append(bytes.Repeat([]byte{2}, prefixSize), bytes.Repeat([]byte{1}, prefixSize)...),
		"too many":      make([]byte, (MaxHoldings+1)*prefixSize),
	} {
		body.Contents = contents
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(kindHoldings, raw, make([]byte, ed25519.SignatureSize)); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewer(t *testing.T) {
	at := func(version uint64, second int) *record {
		return entryOf(t, "maple", func(e *kith.Entry) {
			e.Version, e.Published = version, e.Published.Add(time.Duration(second)*time.Second)
		})
	}
	ordered := []*record{nil, at(1, 9), at(2, 0), at(2, 1), at(MaxVersion, 0), at(MaxVersion, 1)}
	for i, r := range ordered {
		for j, other := range ordered {
			if r != nil && r.newer(other) != (i > j) {
				t.Errorf("%d is newer than %d: %v", i, j, !(i > j))
			}
		}
	}
	a, b := at(1, 0), entryOf(t, "maple", func(e *kith.Entry) { e.Size = 2 })
	if a.newer(b) == b.newer(a) {
		t.Error("two records of one version and time are not ordered")
	}
}

func FuzzRecord(f *testing.F) {
	for kind, raw := range map[recordKind][]byte{kindEntry: entryOf(f, "maple", nil).raw} {
		f.Add(byte(kind), raw)
	}
	holdings, err := signHoldings(testKey("maple"), [32]byte{}, testID("maple"), []uint64{1, 2}, 3, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(kindHoldings), holdings.raw)
	f.Fuzz(func(t *testing.T, kind byte, raw []byte) {
		r, err := parseRecord(recordKind(kind), raw, make([]byte, ed25519.SignatureSize))
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if r.host().IsZero() || r.entry.Version < 1 || r.entry.Version > MaxVersion {
			t.Errorf("%q is taken as %+v", raw, r.entry)
		}
		if r.kind == kindEntry {
			if _, err := signEntry(testKey("maple"), r.group, r.entry); err != nil {
				t.Errorf("%q cannot be signed again: %v", raw, err)
			}
		}
	})
}
