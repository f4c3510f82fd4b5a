package group

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/store/sqlite"
)

func openStore(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestSaveAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	store := openStore(t, path)
	if _, err := Open(t.Context(), store, testKey("maple")); !errors.Is(err, kith.NotFound) {
		t.Fatalf("open an empty store: %v", err)
	}
	maple := found(t, "maple")
	if err := maple.Save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	oak := enlarge(t, maple, "oak")
	addresses := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747")}
	if err := errors.Join(maple.SetWhereabouts(t.Context(), Whereabouts{Addresses: addresses}), maple.Rename(t.Context(), kith.Name{Group: "lab"})); err != nil {
		t.Fatal(err)
	}
	connect(t, maple, oak)
	if err := oak.SetWhereabouts(t.Context(), Whereabouts{Addresses: addresses}); err != nil {
		t.Fatal(err)
	}
	await(t, maple, func(*Roster) bool { return maple.Whereabouts(oak.ID()).Addresses != nil })

	again, err := Open(t.Context(), openStore(t, path), testKey("maple"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := describe(again.Roster()), describe(maple.Roster()); a != b {
		t.Errorf("opened\n%s\nsaved\n%s", a, b)
	}
	for _, id := range []kith.ID{maple.ID(), oak.ID()} {
		if got := again.Whereabouts(id).Addresses; !slices.Equal(got, addresses) {
			t.Errorf("addresses of %s: %v", id.Short(), got)
		}
	}

	// A group that is joined takes the place of the old one.
	elm := enlarge(t, found(t, "elm"), "maple")
	if err := elm.Save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if again, err = Open(t.Context(), store, testKey("maple")); err != nil || again.Roster().Genesis() != elm.Roster().Genesis() {
		t.Errorf("opened %v, %v", again, err)
	}
}

func TestNothingIsSeenThatIsNotStored(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "kith.db"))
	maple := found(t, "maple")
	if err := maple.Save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	store.Close()
	if err := maple.Rename(t.Context(), kith.Name{Host: "oak"}); err == nil {
		t.Error("renamed without a store")
	}
	if maple.Name().Host != "maple" || len(maple.log.entries) != 1 {
		t.Errorf("called %s, %d entries", maple.Name(), len(maple.log.entries))
	}
}

// What still holds the group that was left writes nothing into the next one.
func TestReplacedGroupChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	store := openStore(t, path)
	maple := found(t, "maple")
	if err := maple.Save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	oak := enlarge(t, maple, "oak")
	stop := connect(t, maple, oak)
	if err := maple.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, oak, func(r *Roster) bool { return len(r.Members()) == 1 })
	stop()
	if err := oak.Rename(t.Context(), kith.Name{Host: "elm"}); err != nil {
		t.Fatal(err)
	}
	signed, err := signRecord(testKey("oak"), recordBody{Group: maple.log.genesis, Sequence: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}

	closed := openStore(t, filepath.Join(t.TempDir(), "closed.db"))
	closed.Close()
	next := found(t, "maple")
	if err := maple.Replace(t.Context(), next, closed); err == nil {
		t.Error("saved in a closed store")
	}
	if err := maple.applyRecords(t.Context(), []*record{signed}); err != nil {
		t.Errorf("a group whose replacement failed: %v", err)
	}
	if err := maple.Replace(t.Context(), next, store); err != nil {
		t.Fatal(err)
	}

	signed, err = signRecord(testKey("oak"), recordBody{Group: maple.log.genesis, Sequence: 1<<40 + 1})
	if err != nil {
		t.Fatal(err)
	}
	_, applied := maple.apply(t.Context(), oak.state.Load().entries)
	for what, err := range map[string]error{
		"entries":   applied,
		"records":   maple.applyRecords(t.Context(), []*record{signed}),
		"addresses": maple.SetWhereabouts(t.Context(), Whereabouts{Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747")}}),
		"rename":    maple.Rename(t.Context(), kith.Name{Host: "ash"}),
	} {
		if !errors.Is(err, kith.NotMember) {
			t.Errorf("%s of a replaced group: %v", what, err)
		}
	}
	again, err := Open(t.Context(), openStore(t, path), testKey("maple"))
	if err != nil {
		t.Fatal(err)
	}
	if again.Roster().Genesis() != next.Roster().Genesis() || len(again.state.Load().records) != 0 {
		t.Errorf("opened\n%s, %d records", describe(again.Roster()), len(again.state.Load().records))
	}

	// And back.
	if err := next.Replace(t.Context(), maple, store); err != nil {
		t.Fatal(err)
	}
	if _, err := maple.apply(t.Context(), oak.state.Load().entries); err != nil {
		t.Errorf("back in force: %v", err)
	}
	if err := next.Rename(t.Context(), kith.Name{Host: "ash"}); !errors.Is(err, kith.NotMember) {
		t.Errorf("rename in a replaced group: %v", err)
	}
}

// A record of another group, as an earlier version could leave one, is passed
// over.
func TestOpenPassesOverForeignRecords(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "kith.db"))
	maple := found(t, "maple")
	if err := maple.Save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	foreign, err := signRecord(testKey("maple"), recordBody{Group: Hash{1}, Sequence: 1, Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4747")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := maple.storeRecords(t.Context(), []*record{foreign}); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), store, testKey("maple"))
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Whereabouts(maple.ID()).Addresses; got != nil {
		t.Errorf("addresses of another group: %v", got)
	}
}
