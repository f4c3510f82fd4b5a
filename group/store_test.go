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
	if err := errors.Join(maple.SetAddresses(t.Context(), addresses), maple.Rename(t.Context(), kith.Name{Group: "lab"})); err != nil {
		t.Fatal(err)
	}
	connect(t, maple, oak)
	if err := oak.SetAddresses(t.Context(), addresses); err != nil {
		t.Fatal(err)
	}
	await(t, maple, func(*Roster) bool { return maple.Addresses(oak.ID()) != nil })

	again, err := Open(t.Context(), openStore(t, path), testKey("maple"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := describe(again.Roster()), describe(maple.Roster()); a != b {
		t.Errorf("opened\n%s\nsaved\n%s", a, b)
	}
	for _, id := range []kith.ID{maple.ID(), oak.ID()} {
		if got := again.Addresses(id); !slices.Equal(got, addresses) {
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
