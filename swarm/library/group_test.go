package library

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// TestOtherGroup has a host change groups, and come back: its list stays where it was.
func TestOtherGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith.db")
	ash := newHost(t, "ash", newStore(t, path))
	maple := entryOf(t, "maple", nil)
	ash.publish(t, "Books", "a")
	if err := ash.take(t.Context(), []*record{maple}, testID("maple")); err != nil {
		t.Fatal(err)
	}
	ash.SetHoldings([]kith.ContentID{testContent("a")})
	home := ash.text()

	ash.enter("away")
	if got := ash.Entries(); len(got) != 0 {
		t.Errorf("in another group there are %+v", got)
	}
	if _, ok := ash.Entry(ash.id, "Books"); ok {
		t.Error("in another group there is an entry of the one before")
	}
	if list, _ := ash.summaries(); len(list) != 0 {
		t.Errorf("another group is told of %+v", list)
	}
	changes := ash.changes.Load()
	if err := ash.Regroup(t.Context()); err != nil || ash.changes.Load() == changes {
		t.Errorf("regroup: %v, told %d times", err, ash.changes.Load()-changes)
	}
	if got := ash.Holders(testContent("a")); !slices.Equal(got, []kith.ID{ash.id}) {
		t.Errorf("in another group %v hold what is here", got)
	}
	ash.publish(t, "Films", "b")
	if err := ash.take(t.Context(), []*record{copyOf(maple)}, testID("maple")); err != nil || len(ash.Entries()) != 1 {
		t.Errorf("an entry of the group before was taken: %+v, %v", ash.Entries(), err)
	}
	away := ash.text()

	for group, want := range map[string]string{"": home, "away": away} {
		again := newHostIn(t, "ash", newStore(t, path), group)
		if got := again.text(); got != want {
			t.Errorf("after a restart in group %q there are\n%s, want\n%s", group, got, want)
		}
	}
	ash.group = [32]byte{}
	if err := ash.Regroup(t.Context()); err != nil || ash.text() != home {
		t.Errorf("back in the first group there are\n%s, want\n%s, %v", ash.text(), home, err)
	}
}

// newHostIn is newHost in a group; "" is the first.
func newHostIn(t *testing.T, name string, store kith.Store, group string) *host {
	t.Helper()
	h := newHost(t, name, nil)
	if group != "" {
		h.enter(group)
	}
	h.cfg.Store = store
	if err := h.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestEntriesNameTheirGroup has members of two groups meet, as when a host is in one of
// them with an old address of the other.
func TestEntriesNameTheirGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple, oak := newHost(t, "maple", nil), newHost(t, "oak", nil)
		oak.enter("other")
		if err := oak.Regroup(t.Context()); err != nil {
			t.Fatal(err)
		}
		maple.publish(t, "Books", "a")
		oak.publish(t, "Films", "b")
		oak.SetHoldings([]kith.ContentID{testContent("b")})
		connect(t, maple, oak)
		time.Sleep(time.Minute)
		maple.publish(t, "Songs", "c")
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(maple.Entries()) != 2 || len(oak.Entries()) != 1 || len(maple.Holders(testContent("b"))) != 0 {
			t.Errorf("maple has %+v, oak %+v", maple.Entries(), oak.Entries())
		}
	})
}

// TestConversationsEndWithTheGroup has a host change groups while it talks.
func TestConversationsEndWithTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := newHost(t, "maple", nil)
		i := intrude(t, maple, "oak")
		i.greet()
		synctest.Wait()
		maple.enter("other")
		if err := maple.Regroup(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := <-i.err; !errors.Is(err, kith.NotMember) {
			t.Errorf("the conversation ended with %v", err)
		}
	})
}
