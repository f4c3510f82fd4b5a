package swarm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
)

// comesTo waits until oak knows which version of the box is the newest, and has followed it
// where it follows.
func (p *parcel) comesTo() {
	p.t.Helper()
	p.oak.until(p.t, "told of the newest version", func() bool {
		e, _ := p.oak.library.Entry(p.entry.Host, p.entry.Title)
		return e.Version == p.entry.Version
	})
	p.oak.followEntries(p.t.Context())
}

// TestFollowOnOff switches following on and off, of what was taken.
func TestFollowOnOff(t *testing.T) {
	t.Parallel()
	p := newParcel(t, tree{"a": "one"})
	ctx := t.Context()
	first := p.entry.Content
	if err := p.oak.Follow(ctx, first, false); err != nil {
		t.Fatal(err)
	}
	p.publish(tree{"a": "two"})
	p.comesTo()
	if list := p.oak.Holdings(); len(list) != 1 || list[0].Content != first || list[0].Follow {
		t.Fatalf("not followed, and here is %+v", list)
	}
	p.oak.stop()
	p.oak.start(t)
	if h := p.oak.holdingOf(t, first); h.Follow {
		t.Error("followed after a restart")
	}
	if err := p.oak.Follow(ctx, first, true); err != nil {
		t.Fatal(err)
	}
	p.arrives() // what was there already
	p.publish(tree{"a": "three"})
	p.arrives()
	if got := found(t, p.target); got["/a"]+got["a"] != "three" {
		t.Errorf("at its place: %q", got)
	}

	last := p.entry.Content
	if err := p.oak.Pause(ctx, last, true); err != nil {
		t.Fatal(err)
	}
	p.publish(tree{"a": "four"})
	p.comesTo()
	if list := p.oak.Holdings(); len(list) != 1 || list[0].Content != last {
		t.Errorf("paused, and yet followed: %+v", list)
	}
	if err := p.oak.Pause(ctx, last, false); err != nil {
		t.Fatal(err)
	}
	p.arrives()
}

// TestFollowNothing follows what no entry leads to.
func TestFollowNothing(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	id, data, target := shared(t, v, 1000, 0)
	if err := oak.Follow(t.Context(), id, true); !errors.Is(err, kith.NotFound) {
		t.Errorf("what is not here: %v", err)
	}
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target, From: []kith.ID{maple.id}}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	oak.until(t, "told of the title", func() bool { return len(oak.Library()) == 1 })
	if err := oak.Follow(t.Context(), id, true); err != nil { // it was taken by its link, and is in the library
		t.Error(err)
	}
	if h := oak.holdingOf(t, id); !h.Follow || h.Entry.Host != maple.id {
		t.Errorf("followed by the title that has it: %+v", h)
	}

	site := filepath.Join(maple.files, "site")
	put(t, site, tree{"index.html": "hello"})
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: site, Title: "/", Kind: kith.EntrySite, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := maple.Follow(t.Context(), entry.Content, false); !errors.Is(err, kith.Invalid) {
		t.Errorf("a site: %v", err)
	}
	path, _ := maple.write(t, "gone", 1000)
	gone, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oak.Take(t.Context(), kith.Taking{Content: gone.Content, From: []kith.ID{maple.id}}); err != nil {
		t.Fatal(err)
	}
	if err := maple.Withdraw(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "told that it is withdrawn", func() bool { return len(oak.Library()) == 2 })
	if err := oak.Follow(t.Context(), gone.Content, true); !errors.Is(err, kith.Invalid) {
		t.Errorf("what has no title: %v", err)
	}
}

// TestFollowDisk switches following on and off, of what was published: what changed while it was off
// is published when it is on.
func TestFollowDisk(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple")
	maple := v.host("maple")
	ctx := t.Context()
	path, _ := maple.write(t, "notes", 1000)
	first, err := maple.Publish(ctx, kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := maple.Follow(ctx, first.Content, true); err != nil {
		t.Fatal(err)
	}
	maple.until(t, "published anew", func() bool { return maple.Library()[0].Version == 2 })
	second := maple.Library()[0].Content
	maple.until(t, "following on", func() bool {
		h, err := maple.Holding(second)
		return err == nil && h.Follow
	})
	watches := func() bool {
		list, _, err := maple.followed(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 1
	}
	if err := maple.Follow(ctx, second, false); err != nil || watches() {
		t.Errorf("switched off: %v", err)
	}
	if err := maple.Follow(ctx, second, true); err != nil || !watches() {
		t.Errorf("switched on: %v", err)
	}
	if _, err := maple.Publish(ctx, kith.Publication{Path: path}); err != nil || watches() || maple.holdingOf(t, second).Follow {
		t.Errorf("published without following: %v", err)
	}
}
