package swarm

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith"
)

// TestVerifyOwn has a person change what is shared: it says so, what is still right
// can be had, and there are three ways out.
func TestVerifyOwn(t *testing.T) {
	t.Parallel()
	first := tree{"a": "one", "b": "two"}
	begin := func(t *testing.T) (v *village, entry kith.Entry) {
		v = newVillage(t, "maple", "oak")
		maple := v.host("maple")
		folder := filepath.Join(maple.files, "box")
		put(t, folder, first)
		entry, err := maple.Publish(t.Context(), kith.Publication{Path: folder})
		if err != nil {
			t.Fatal(err)
		}
		if err := maple.Verify(t.Context(), entry.Content, nil); err != nil {
			t.Errorf("nothing has changed: %v", err)
		}
		put(t, folder, tree{"a": "mine"})
		if err := maple.Verify(t.Context(), entry.Content, nil); !errors.Is(err, kith.Expired) {
			t.Errorf("a file has changed: %v", err)
		}
		h := maple.holdingOf(t, entry.Content)
		if h.State != kith.HoldingPaused || h.Reason == "" || !maple.said.has(h.Reason) {
			t.Errorf("a file has changed: %+v", h)
		}
		return v, entry
	}
	isWhole := func(t *testing.T, v *village, id kith.ContentID) {
		t.Helper()
		maple, oak := v.host("maple"), v.host("oak")
		maple.until(t, "whole", func() bool {
			h, err := maple.Holding(id)
			return err == nil && h.State == kith.HoldingComplete && h.Reason == ""
		})
		target := filepath.Join(oak.files, "taken")
		if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
			t.Fatal(err)
		}
		oak.until(t, "complete", func() bool { return oak.holdingOf(t, id).State == kith.HoldingComplete })
	}
	together(t, map[string]func(*testing.T){
		"what is right can be had": func(t *testing.T) {
			v, entry := begin(t)
			maple, oak := v.host("maple"), v.host("oak")
			maple.stop()
			maple.start(t)
			if h := maple.holdingOf(t, entry.Content); h.State != kith.HoldingPaused || h.Reason == "" {
				t.Errorf("after a restart: %+v", h)
			}
			if _, err := oak.Take(t.Context(), kith.Taking{Content: entry.Content}); err != nil {
				t.Fatal(err)
			}
			oak.until(t, "described", func() bool { return oak.holdingOf(t, entry.Content).Files > 0 })
			r, err := oak.Open(t.Context(), entry.Content, "b")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			text := make([]byte, 3)
			if _, err := r.Read(text); err != nil || string(text) != "two" {
				t.Errorf("read %q, %v", text, err)
			}
			if err := maple.Pause(t.Context(), entry.Content, true); err != nil {
				t.Fatal(err)
			}
			if _, err := maple.exchangeOf(entry.Content); !errors.Is(err, kith.NotFound) {
				t.Errorf("exchanged while the person paused it: %v", err)
			}
		},
		"shared again": func(t *testing.T) {
			v, entry := begin(t)
			maple := v.host("maple")
			newer, err := maple.Publish(t.Context(), kith.Publication{Path: filepath.Join(maple.files, "box")})
			if err != nil || newer.Content == entry.Content {
				t.Fatalf("shared again: %+v, %v", newer, err)
			}
			isWhole(t, v, newer.Content)
			if _, err := maple.Holding(entry.Content); !errors.Is(err, kith.NotFound) {
				t.Errorf("the version before: %v", err)
			}
		},
		"as it was again": func(t *testing.T) {
			v, entry := begin(t)
			maple := v.host("maple")
			put(t, filepath.Join(maple.files, "box"), first)
			if err := maple.Pause(t.Context(), entry.Content, false); err != nil {
				t.Fatal(err)
			}
			isWhole(t, v, entry.Content)
		},
		"got again": func(t *testing.T) {
			v := newVillage(t, "maple", "oak")
			maple, oak := v.host("maple"), v.host("oak")
			id, data, target := shared(t, v, 100_000, 0)
			if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
				t.Fatal(err)
			}
			oak.untilComplete(t, id, target, data)
			path := filepath.Join(maple.files, "song.ogg")
			put(t, path, tree{"": "mine"})
			if err := maple.Verify(t.Context(), id, nil); !errors.Is(err, kith.Expired) {
				t.Errorf("a file has changed: %v", err)
			}
			if _, err := maple.Take(t.Context(), kith.Taking{Content: id, Path: path, Replace: true}); err != nil {
				t.Fatal(err)
			}
			maple.untilComplete(t, id, path, data)
			if got, err := os.ReadFile(keptName(path, time.Now(), 1)); err != nil || string(got) != "mine" {
				t.Errorf("what the person has: %q, %v", got, err)
			}
		},
	})
}

// TestVerifyTaken reads what was taken again: what is wrong comes again, and what the
// person changed is kept.
func TestVerifyTaken(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, data, target := shared(t, v, 1<<20, 0)
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	var read int64
	if err := oak.Verify(t.Context(), id, func(done, total int64) { read = done }); err != nil || read != int64(len(data)) {
		t.Errorf("all is right: %d bytes were read, %v", read, err)
	}
	before := oak.holdingOf(t, id).Received
	if before != int64(len(data)) || oak.holdingOf(t, id).State != kith.HoldingComplete {
		t.Errorf("all is right: %+v", oak.holdingOf(t, id))
	}
	put(t, target, tree{"": "mine"})
	if err := oak.Verify(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	if got, err := os.ReadFile(keptName(target, time.Now(), 1)); err != nil || string(got) != "mine" {
		t.Errorf("what the person has: %q, %v", got, err)
	}
	if err := oak.Verify(t.Context(), kith.ContentID{1}, nil); !errors.Is(err, kith.NotFound) {
		t.Errorf("verify of nothing: %v", err)
	}
}

// TestRestored has the content folder be gone, as after a restore from a backup: files are found where the
// person has them, and copies are fetched again.
func TestRestored(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak", "elm")
	maple, oak, elm := v.host("maple"), v.host("oak"), v.host("elm")
	path, data := maple.write(t, "song", 3*16384+1)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*villager{oak, elm} {
		if _, err := h.Take(t.Context(), kith.Taking{Content: entry.Content, Name: "song", From: []kith.ID{maple.id}}); err != nil {
			t.Fatal(err)
		}
		h.until(t, "complete", func() bool {
			got, err := h.Holding(entry.Content)
			return err == nil && got.State == kith.HoldingComplete
		})
	}
	for _, h := range []*villager{maple, oak} {
		h.stop()
		if err := os.RemoveAll(filepath.Join(h.data, "content")); err != nil {
			t.Fatal(err)
		}
	}
	elm.stop()
	maple.start(t)
	oak.start(t)
	for _, h := range []*villager{maple, oak} {
		h.until(t, "all of it", func() bool {
			f, err := h.Open(t.Context(), entry.Content, "")
			if err != nil {
				return false
			}
			defer f.Close()
			got, err := io.ReadAll(f)
			return err == nil && bytes.Equal(got, data)
		})
	}
}
