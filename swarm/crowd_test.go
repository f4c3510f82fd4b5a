package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// member makes an attacker that dials, and has nothing.
func (a *attacker) member(name string) *attacker {
	return &attacker{villager: a.village.add(a.t, name), t: a.t, description: a.description}
}

// TestCrowd has as many members as a content may have links link to a taker, and do
// nothing: it dials the one that has the content all the same.
func TestCrowd(t *testing.T) {
	t.Parallel()
	crowded := false
	underAttack(t, func(*attacker) {}, func(oak *villager, a *attacker) bool {
		if h, err := oak.Holding(kith.ContentID(a.description.ID())); err != nil || h.Files == 0 || a.met.Load() == 0 {
			return false
		}
		if crowded {
			return true
		}
		crowded = true
		here := 0
		for i := range maxLinks {
			c, err := a.member(fmt.Sprint("idler", i)).greet(oak)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if w, err := readWelcome(c); err == nil && w.verdict == verdictHere {
				here++
			}
		}
		if here < wantLinks || here > maxLinks-ownLinks {
			t.Errorf("%d links came about", here)
		}
		return true
	})
}

// TestOneMember has one member link to a seed again and again: the newest link stays.
func TestOneMember(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	id, data, target := shared(t, v, attackSize, 0)
	d, err := maple.described(id)
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{villager: v.add(t, "attacker"), t: t, description: d}
	for range maxLinks {
		c, err := a.greet(maple)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if w, err := readWelcome(c); err != nil || w.verdict != verdictHere {
			t.Fatalf("welcome %+v, %v", w, err)
		}
	}
	maple.until(t, "left with one link", func() bool { return len(maple.holdingOf(t, id).Peers) == 1 })
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
}

// TestLargeContent has a member announce some of content that is so large that its
// bitmap is larger than other messages may be.
func TestLargeContent(t *testing.T) {
	t.Parallel()
	const size, pieceLength = 130 << 30, 1 << 30
	d, err := bittorrent.Describe("film", []bittorrent.File{{Size: size, Root: [32]byte{1}}}, true, pieceLength, make([]byte, size/pieceLength*20))
	if err != nil {
		t.Fatal(err)
	}
	v := newVillage(t, "oak")
	oak := v.host("oak")
	asked := make(chan struct{}, 1)
	a := &attacker{villager: v.add(t, "elm"), t: t, description: d}
	a.talk = func(c talk) {
		bitmap := make([]byte, (d.Blocks()+7)/8)
		bitmap[len(bitmap)-1] = 1
		if len(bitmap) <= maxMessage {
			t.Errorf("a bitmap of %d bytes is not large", len(bitmap))
		}
		c.say(bittorrent.Message{Type: bittorrent.Bitfield, Payload: bitmap}, bittorrent.Message{Type: bittorrent.Unchoke})
	}
	a.hear = func(c talk, m bittorrent.Message) {
		if m.Type == bittorrent.Request && int(m.Index) == d.Blocks()-1 {
			asked <- struct{}{}
		}
	}
	a.listen()
	if _, err := oak.Take(t.Context(), kith.Taking{Content: kith.ContentID(d.ID()), From: []kith.ID{a.id}, Path: filepath.Join(oak.files, "film")}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Error("what was announced is not asked for")
	}
}

// TestHashesMeanwhile has the hashes of a block come while it is put aside for want of
// them: it is taken.
func TestHashesMeanwhile(t *testing.T) {
	t.Parallel()
	underAttack(t, func(a *attacker) {
		a.talk = func(c talk) { c.say(bittorrent.Message{Type: bittorrent.HaveAll}) }
	}, func(oak *villager, a *attacker) bool {
		x, err := oak.exchangeOf(kith.ContentID(a.description.ID()))
		if err != nil {
			return false
		}
		x.mu.Lock()
		l := x.hosts[a.id]
		x.mu.Unlock()
		if l == nil {
			return false
		}
		c := talk{a: a}
		if err := setHashes(x.files[0], c.hashes(hashRequest(x.files[0], 3))); err != nil {
			t.Fatal(err)
		}
		l.hold(3, c.block(3).Payload)
		got := make([]byte, content.BlockSize)
		if _, err := x.files[0].ReadBlock(3, got); err != nil || !bytes.Equal(got, c.block(3).Payload) {
			t.Errorf("the block is not here: %v", err)
		}
		return true
	})
}

// TestManyQuestions has a member ask for hashes on many sockets and then say nothing: its
// next question waits, others are answered, and so is the member once it is done.
func TestManyQuestions(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple := v.host("maple")
	id, data, target := shared(t, v, attackSize, 0)
	d, err := maple.described(id)
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{villager: v.add(t, "attacker"), t: t, description: d}
	var open []talk
	for range maxAsks {
		c, err := a.greet(maple, greeting{ask: askHashes, content: id}.bytes()...)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	described := func() bool {
		c, err := a.greet(maple, greeting{ask: askDescription, content: id}.bytes()...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		text, _ := io.ReadAll(c)
		return bytes.HasSuffix(text, d.Raw)
	}
	maple.until(t, "tired of questions", func() bool { return !described() })
	oak := v.host("oak")
	if _, err := oak.Take(t.Context(), kith.Taking{Content: id, Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	for _, c := range open {
		c.Close()
	}
	maple.until(t, "ready to answer again", described)
}

// TestOtherFile puts a link, and another file, in the place of one that was found in a
// folder: it is not read.
func TestOtherFile(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "song"), filepath.Join(dir, "secret")
	for _, name := range []string{path, other} {
		if err := os.WriteFile(name, []byte("la la"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sumFile(t.Context(), path, found, 0, false, nil); err != nil {
		t.Error(err)
	}
	if err := os.Rename(path, path+" as it was"); err != nil { // its inode is not used again
		t.Fatal(err)
	}
	for name, replace := range map[string]func() error{
		"a link":       func() error { return os.Symlink(other, path) },
		"another file": func() error { return os.Rename(other, path) },
	} {
		os.Remove(path)
		if err := replace(); err != nil {
			t.Skip("no links: ", err)
		}
		if _, err := sumFile(t.Context(), path, found, 0, false, nil); !errors.Is(err, kith.Temporary) {
			t.Errorf("%s: %v", name, err)
		}
		os.WriteFile(other, []byte("la la"), 0o600)
	}
}
