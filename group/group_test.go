package group

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

func found(t testing.TB, host string) *Group {
	t.Helper()
	g, err := Found(testKey(host), kith.Name{Host: host, Group: "home"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRestingName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		enlarge(t, maple, "oak")
		if err := maple.Revoke(t.Context(), testID("oak")); err != nil {
			t.Fatal(err)
		}
		if err := maple.Rename(t.Context(), kith.Name{Host: "oak"}); !errors.Is(err, kith.Exists) {
			t.Errorf("a name that rests: %v", err)
		}
		time.Sleep(nameRest)
		if err := maple.Rename(t.Context(), kith.Name{Host: "oak", Group: "lab"}); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"oak", "OAK.lab.kith.alt.", "maple", "maple.home.kith.alt", maple.ID().String(), maple.ID().String() + ".kith.alt"} {
			if id, err := maple.Resolve(name); err != nil || id != maple.ID() {
				t.Errorf("resolve %s: %v, %v", name, id, err)
			}
		}
		for _, name := range []string{"elm", "oak.other.kith.alt", "oak.example.org", ""} {
			if _, err := maple.Resolve(name); err == nil {
				t.Errorf("resolve %s: no error", name)
			}
		}
	})
}

func TestLastAdminStays(t *testing.T) {
	maple := found(t, "maple")
	if err := maple.Leave(t.Context()); !errors.Is(err, kith.Invalid) {
		t.Errorf("leave a group of one: %v", err)
	}
	oak := enlarge(t, maple, "oak")
	stop := connect(t, maple, oak)
	if err := maple.SetAdmin(t.Context(), oak.ID(), false); err != nil {
		t.Fatal(err)
	}
	if err := maple.SetAdmin(t.Context(), maple.ID(), false); !errors.Is(err, kith.Denied) {
		t.Errorf("demote the last admin: %v", err)
	}
	if err := maple.Leave(t.Context()); !errors.Is(err, kith.Denied) {
		t.Errorf("the last admin leaves: %v", err)
	}
	stop()
	stop = connect(t, maple, oak)
	await(t, oak, func(r *Roster) bool { return r.Admins() == 1 })
	if _, err := oak.Invite(t.Context(), InviteRequest{}, nil); !errors.Is(err, kith.Denied) {
		t.Errorf("a member invites: %v", err)
	}
	if err := oak.Revoke(t.Context(), maple.ID()); !errors.Is(err, kith.Denied) {
		t.Errorf("a member revokes: %v", err)
	}
	if err := oak.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, maple, func(r *Roster) bool { return len(r.Members()) == 1 })
	stop()
	if err := oak.Rename(t.Context(), kith.Name{Host: "elm"}); !errors.Is(err, kith.NotMember) {
		t.Errorf("a host that left renames itself: %v", err)
	}
}

// await waits until the roster of g is as wanted.
func await(t testing.TB, g *Group, wanted func(*Roster) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		state := g.state.Load()
		if wanted(state.roster) {
			return
		}
		select {
		case <-state.changed:
		case <-timeout:
			t.Fatalf("roster of %s stays\n%s", g.ID().Short(), describe(state.roster))
		}
	}
}

// A host is held to the limits to which the others hold it: otherwise they
// would not take what it writes, and the roster would be another one there.
func TestRoomIsUsedUp(t *testing.T) {
	maple := found(t, "maple")
	if used, limit := maple.Room(); used != 1 || limit != maxPerAuthor {
		t.Errorf("room %d of %d", used, limit)
	}
	rename := func(i int) error {
		return maple.Rename(t.Context(), kith.Name{Host: fmt.Sprintf("maple%d", i)})
	}
	maple.log.perAuthor[maple.id] = maxPerAuthor - 1
	if err := rename(1); err != nil {
		t.Errorf("the last entry: %v", err)
	}
	if err := rename(2); !errors.Is(err, kith.Quota) {
		t.Errorf("one more: %v, want kind %q", err, kith.Quota)
	}
	if used, limit := maple.Room(); used != limit || limit != maxPerAuthor {
		t.Errorf("room %d of %d", used, limit)
	}

	// Heads that have to be joined first count, too.
	maple.log.perAuthor[maple.id] = maxPerAuthor - 1
	for i := range MaxParents + 1 {
		e := must(sign(testKey("maple"), body{Kind: "noise", Host: fmt.Sprint(i), Parents: []Hash{maple.log.genesis}}))
		if err := maple.log.add(e, 0, true); err != nil {
			t.Fatal(err)
		}
	}
	maple.log.perAuthor[maple.id] = maxPerAuthor - 1
	before := len(maple.log.entries)
	if err := rename(3); !errors.Is(err, kith.Quota) || len(maple.log.entries) != before {
		t.Errorf("a rename that needs two: %v, want kind %q and none", err, kith.Quota)
	}
}
