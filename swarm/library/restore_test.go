package library

import (
	"bytes"
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// deliver has to take all that from has.
func deliver(t testing.TB, to, from *host) {
	t.Helper()
	if err := to.take(t.Context(), from.records(), from.id); err != nil {
		t.Fatal(err)
	}
}

func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	store := newStore(t, path)
	maple, oak := newHost(t, "maple", store), newHost(t, "oak", nil)
	maple.publish(t, "own", "a")
	old := oak.publish(t, "theirs", "a")
	before := oak.records()
	oak.publish(t, "theirs", "b")
	oak.publish(t, "gone", "b")
	if err := oak.Withdraw(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	deliver(t, maple, oak)
	want := maple.text()
	store.Close()

	maple = newHost(t, "maple", newStore(t, path))
	if got := maple.text(); got != want {
		t.Errorf("after a restart\n%sbefore\n%s", got, want)
	}
	if err := maple.take(t.Context(), before, oak.id); err != nil {
		t.Fatal(err)
	}
	if e, _ := maple.Entry(oak.id, "theirs"); e.Version <= old.Version {
		t.Errorf("an old copy took the place of a newer version: %+v", e)
	}
	if e, ok := maple.Entry(oak.id, "gone"); !ok || !e.Withdrawn {
		t.Errorf("the tombstone is gone: %+v", e)
	}
	if e := maple.publish(t, "own", "b"); e.Version != 2 {
		t.Errorf("version %d after a restart", e.Version)
	}
}

// TestRestore has a host come back from an old copy.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple, oak := newHost(t, "maple", nil), newHost(t, "oak", nil)
		maple.publish(t, "changed since", "1")
		maple.publish(t, "changed before", "1")
		maple.publish(t, "withdrawn", "1")
		copied := maple.records()
		for _, content := range []string{"2", "3"} {
			time.Sleep(time.Second)
			maple.publish(t, "changed since", content)
			maple.publish(t, "changed before", content)
		}
		if err := maple.Withdraw(t.Context(), "withdrawn"); err != nil {
			t.Fatal(err)
		}
		maple.SetHoldings([]kith.ContentID{testContent("2")})
		deliver(t, oak, maple)

		time.Sleep(time.Second)
		maple = newHost(t, "maple", nil)
		for _, r := range copied {
			maple.shelve(r)
		}
		if e := maple.publish(t, "changed since", "4"); e.Version != 2 {
			t.Errorf("version %d, want 2: nobody told it of a later one", e.Version)
		}
		maple.SetHoldings([]kith.ContentID{testContent("4")})
		connect(t, maple, oak)
		time.Sleep(time.Second)
		same(t, maple, oak)
		for title, want := range map[string]struct {
			version uint64
			content string
		}{"changed since": {4, "4"}, "changed before": {3, "3"}} {
			if e, _ := oak.Entry(maple.id, title); e.Version != want.version || e.Content != testContent(want.content) {
				t.Errorf("%s: %+v, want version %d", title, e, want.version)
			}
		}
		if e, _ := maple.Entry(maple.id, "withdrawn"); !e.Withdrawn {
			t.Error("what was withdrawn is back")
		}
		if len(oak.Holders(testContent("4"))) != 1 || len(oak.Holders(testContent("2"))) != 0 {
			t.Error("old holdings are in force")
		}
		if e := maple.publish(t, "changed before", "5"); e.Version != 4 {
			t.Errorf("version %d, want 4", e.Version)
		}
	})
}

// TestTwins has two copies of one host, who contradict each other, come to rest.
func TestTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, oak := newHost(t, "maple", nil), newHost(t, "maple", nil), newHost(t, "oak", nil)
		traffic, _ := connect(t, a, oak)
		connect(t, b, oak)
		for n, h := range []*host{a, b, a, b} {
			h.publish(t, "mine", string(rune('a'+n)))
			h.SetHoldings([]kith.ContentID{testContent(string(rune('a' + n)))})
		}
		time.Sleep(3 * time.Hour)
		same(t, a, b, oak)
		before := traffic.Load()
		time.Sleep(24 * time.Hour)
		if n := traffic.Load() - before; n > 0 {
			t.Errorf("they go on for ever: %d bytes", n)
		}
	})
}

// TestLaterRelease has what this release does not know pass through it.
func TestLaterRelease(t *testing.T) {
	raw := []byte(`{"title":"Film","v":3,"group":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","kind":"stream","later":{"a":[1,2.50]},"host":"` + testID("ash").String() + `","version":7,"content":"` +
		testContent("a").String() + `","published":"2026-01-02T03:04:05.678+02:00"}`)
	r, err := parseRecord(kindEntry, raw, ed25519.Sign(testKey("ash"), append([]byte(kindEntry.domain()), raw...)))
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, filepath.Join(t.TempDir(), "kith.db"))
	maple := newHost(t, "maple", store)
	if err := maple.take(t.Context(), []*record{r}, testID("ash")); err != nil {
		t.Fatal(err)
	}
	maple = newHost(t, "maple", store)
	synctest.Test(t, func(t *testing.T) {
		oak, elm := newHost(t, "oak", nil), newHost(t, "elm", nil)
		deliver(t, oak, maple)
		connect(t, oak, elm)
		time.Sleep(time.Second)
		for _, got := range elm.records() {
			if !bytes.Equal(got.raw, raw) || got.verify() != nil {
				t.Errorf("%s became %s", raw, got.raw)
			}
		}
		if e, ok := elm.Entry(testID("ash"), "Film"); !ok || e.Kind != "stream" || e.Version != 7 {
			t.Errorf("entry: %+v", e)
		}
	})
}

// TestTombstones has what is withdrawn be forgotten after 90 days, but not by
// its host, who answers a sleeper that still lists it.
func TestTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple, oak, sleeper := newHost(t, "maple", nil), newHost(t, "oak", nil), newHost(t, "ash", nil)
		maple.publish(t, "kept", "a")
		maple.publish(t, "gone", "a")
		deliver(t, sleeper, maple)
		if err := maple.Withdraw(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		deliver(t, oak, maple)
		time.Sleep(TombstoneLife - time.Hour)
		maple.tidy(t.Context())
		oak.tidy(t.Context())
		if _, ok := oak.Entry(maple.id, "gone"); !ok {
			t.Error("the tombstone is gone too early")
		}
		same(t, maple, oak)
		time.Sleep(2 * time.Hour)
		_, stop := connect(t, maple, oak)
		time.Sleep(time.Minute)
		if _, ok := oak.Entry(maple.id, "gone"); ok || len(oak.records()) != 1 {
			t.Error("the tombstone is there for ever")
		}
		same(t, maple, oak)
		connect(t, sleeper, oak)
		time.Sleep(time.Hour)
		same(t, maple, oak, sleeper)
		if e, ok := sleeper.Entry(maple.id, "gone"); !ok || !e.Withdrawn {
			t.Errorf("the sleeper has %+v", e)
		}
		stop()
	})
}

// TestMembership has entries of who is out go, and come back with it.
func TestMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple, oak, ash := newHost(t, "maple", nil), newHost(t, "oak", nil), newHost(t, "ash", nil)
		ash.publish(t, "Film", "a")
		ash.SetHoldings([]kith.ContentID{testContent("a")})
		maple.revoke(ash.id)
		deliver(t, oak, ash)
		connect(t, maple, oak)
		time.Sleep(time.Minute)
		if len(maple.records()) != 0 || len(oak.Entries()) != 1 || len(oak.Holders(testContent("a"))) != 1 {
			t.Error("an entry of somebody that maple does not know")
		}
		oak.revoke(ash.id)
		if _, ok := oak.Entry(ash.id, "Film"); ok || len(oak.Entries()) != 0 || len(oak.Holders(testContent("a"))) != 0 {
			t.Error("a revoked member's entries are there")
		}
		same(t, maple, oak)

		// The roster reaches one later than what the member publishes.
		oak.admit(ash.id)
		ash.publish(t, "Books", "b")
		deliver(t, oak, ash)
		time.Sleep(time.Minute)
		maple.admit(ash.id)
		time.Sleep(time.Hour)
		same(t, oak, maple)
		if len(maple.Entries()) != 2 {
			t.Errorf("entries: %+v", maple.Entries())
		}

		maple.revoke(ash.id)
		time.Sleep(2 * TombstoneLife)
		maple.tidy(t.Context())
		if n := len(maple.records()); n != 0 {
			t.Errorf("%d records of a host that has been out for long", n)
		}
	})
}
