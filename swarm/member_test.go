package swarm

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/swarm/watch"
)

// TestRevoked has a member revoked while it takes, though its sockets stay open: it
// gets nothing from then on, and what it listed is not in the library any more.
func TestRevoked(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	id, _, target := shared(t, v, 8<<20, 1<<20)
	listed := oak.publishes(t, 1, 1000)[0]
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.until(t, "begun", func() bool { return oak.holdingOf(t, id).Have > 0 })
	maple.until(t, "aware of what oak lists", func() bool { return len(maple.Library()) == 2 })
	changed := maple.Changed()
	v.mu.Lock()
	oak.revoked = true
	v.mu.Unlock()
	maple.until(t, "rid of oak", func() bool {
		maple.mu.Lock()
		talking := maple.talking[oak.id] != nil
		maple.mu.Unlock()
		return !talking && len(maple.holdingOf(t, id).Peers) == 0
	})
	maple.until(t, "told of the change", func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	})
	if list := maple.Library(); len(list) != 1 || list[0].Host != maple.id {
		t.Errorf("the library has %+v", list)
	}
	if holders := maple.library.Holders(listed.Content); len(holders) != 0 {
		t.Errorf("%v are asked for what a revoked member has", holders)
	}
	sent := maple.holdingOf(t, id).Sent
	for _, ask := range []byte{askDescription, askBlocks, askHashes, askLibrary} {
		conn, err := v.hub.Network(oak.id).Dial(t.Context(), kith.Address{Host: maple.id.String(), Port: Port})
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(greeting{ask: ask, content: id}.bytes())
		if text, _ := io.ReadAll(conn); len(text) > 0 {
			t.Errorf("a revoked member asked %d, and got %d bytes", ask, len(text))
		}
		conn.Close()
	}
	if got := maple.holdingOf(t, id).Sent; got != sent {
		t.Errorf("%d bytes were sent to a revoked member", got-sent)
	}
}

// TestChangesGroups has a host change groups: what it listed stays behind, and is not
// listed in the other one when it changes on disk.
func TestChangesGroups(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	for _, name := range []string{"song", "film"} {
		path, _ := maple.write(t, name, 1000)
		if _, err := maple.Publish(t.Context(), kith.Publication{Path: path, Follow: true}); err != nil {
			t.Fatal(err)
		}
	}
	oak.until(t, "aware of both", func() bool { return len(oak.Library()) == 2 })
	v.mu.Lock()
	maple.group, oak.group = 7, 7
	v.mu.Unlock()
	for _, h := range v.hosts {
		if list := h.Library(); len(list) != 0 {
			t.Errorf("%s has %+v in another group", h.name, list)
		}
	}
	listed := maple.publishes(t, 1, 500)[0]
	oak.until(t, "aware of what is listed in the other group", func() bool { return len(oak.Library()) == 1 })
	path := filepath.Join(maple.files, "song")
	if err := os.WriteFile(path, []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := maple.changedOnDisk(t.Context(), path, watch.Mark{}); err != nil {
		t.Error(err)
	}
	if list := maple.Library(); len(list) != 1 || list[0] != listed {
		t.Errorf("the library of the other group has %+v", list)
	}
}

// TestWithdraw takes a title off the library: takers do not see it any more, keep what
// they have, and cannot get more from its host.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak", "elm")
	maple, oak, elm := v.host("maple"), v.host("oak"), v.host("elm")
	id, data, target := shared(t, v, 100_000, 0)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	elm.until(t, "aware of the song", func() bool { return len(elm.Library()) == 1 })
	if err := maple.Withdraw(t.Context(), "nothing"); !errors.Is(err, kith.NotFound) {
		t.Errorf("withdrawn what is not there: %v", err)
	}
	title := maple.Library()[0].Title
	if err := maple.Withdraw(t.Context(), title); err != nil {
		t.Fatal(err)
	}
	if err := maple.Withdraw(t.Context(), title); !errors.Is(err, kith.NotFound) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if _, err := maple.Holding(id); !errors.Is(err, kith.NotFound) {
		t.Errorf("maple still gives it: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(maple.files, "song.ogg")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the person's file is gone: %v", err)
	}
	for _, h := range v.hosts {
		h.until(t, "rid of the entry", func() bool { return len(h.Library()) == 0 })
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, data) || oak.holdingOf(t, id).State != kith.HoldingComplete {
		t.Errorf("what oak took is gone: %v", err)
	}
	// Whoever has the link gets it from those who have it.
	target = filepath.Join(elm.files, "taken")
	if _, err := elm.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	elm.untilComplete(t, id, target, data)
	// The same title again is a newer version.
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: filepath.Join(maple.files, "song.ogg")})
	if err != nil || entry.Version != 3 || entry.Content != id {
		t.Errorf("shared again: %+v, %v", entry, err)
	}
	oak.until(t, "aware of it again", func() bool { return len(oak.Library()) == 1 })
}
