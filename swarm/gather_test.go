package swarm

import (
	"bytes"
	"crypto/sha1"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// oddFiles are sizes of every kind: none, one block, in line with blocks and pieces and not.
var oddFiles = []int{0, 1, content.BlockSize - 1, content.BlockSize, content.BlockSize + 1, 1 << 16, 3 << 16, 100_000, 1<<20 + 12345}

// TestOnlySource takes from a client of version 1 alone, with the hashes of a .torrent file and
// without.
func TestOnlySource(t *testing.T) {
	t.Parallel()
	for name, layers := range map[string]bool{"torrent": true, "info": false} {
		for kind, sizes := range map[string][]int{"file": {3<<20 + 77}, "folder": oddFiles} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				v := newVillage(t, "maple", "oak")
				oak := v.host("oak")
				torrent, d, files := orphan(t, v, sizes...)
				g := newGiver(t, 'a', d, files)
				if layers {
					takeFrom(t, oak, torrent, g)
				} else {
					takeInfo(t, oak, d, g)
				}
				untilTaken(t, oak, d, files)
				if n := g.given.Load(); n > int64(d.Blocks())+8 {
					t.Errorf("%d blocks were asked for, of %d", n, d.Blocks())
				}
				if oak.said.has("is wrong") || oak.said.has("contradicts") {
					t.Error("an honest client is blamed")
				}
			})
		}
	}
}

// takeInfo has a host take content of which it has the description alone.
func takeInfo(t *testing.T, h *villager, d *bittorrent.Description, givers ...*giver) {
	t.Helper()
	taking := kith.Taking{Content: d.ID(), InfoHash: d.IDv1(), Torrent: d.Raw, Path: filepath.Join(h.files, "taken")}
	for _, g := range givers {
		taking.Clients = append(taking.Clients, g.address)
	}
	if _, err := h.Take(t.Context(), taking); err != nil {
		t.Fatal(err)
	}
}

// TestLiarAlone has one client give a wrong block: it is let go, and all comes from
// another.
func TestLiarAlone(t *testing.T) {
	t.Parallel()
	for name, layers := range map[string]bool{"torrent": true, "info": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVillage(t, "maple", "oak")
			oak := v.host("oak")
			torrent, d, files := orphan(t, v, 1<<20+5)
			liar := newGiver(t, 'l', d, files)
			liar.lies = func(block int) bool { return block == 21 }
			if layers {
				takeFrom(t, oak, torrent, liar)
			} else {
				takeInfo(t, oak, d, liar)
			}
			awaitReal(t, "let go", func() bool { return oak.said.has("torrent client sent what is wrong") })
			if h := oak.holdingOf(t, d.ID()); h.State == kith.HoldingComplete {
				t.Errorf("%+v", h)
			}
			honest := newGiver(t, 'h', d, files)
			takeFrom(t, oak, torrent, honest)
			untilTaken(t, oak, d, files)
		})
	}
}

// TestLiarAmongOthers has a client that lies about one block in each piece, beside one that
// does not.
func TestLiarAmongOthers(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	_, d, files := orphan(t, v, 2<<20+5)
	liar, honest := newGiver(t, 'l', d, files), newGiver(t, 'h', d, files)
	liar.lies = func(block int) bool { return block%4 == 1 }
	takeInfo(t, oak, d, liar, honest)
	untilTaken(t, oak, d, files)
	if liar.given.Load() > 0 && !oak.said.has("torrent client sent what is wrong") {
		t.Error("the liar is not blamed")
	}
	if oak.said.has(string(honest.id[:])) {
		t.Error("the honest one is blamed")
	}
}

// TestContradiction has a torrent whose SHA-1 hashes are of another file than its tree: nothing
// of it is given to anybody, and the person is told.
func TestContradiction(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	_, d, _ := orphan(t, v, 200_000)
	other := randomBytes(200_000 - 1)
	other = append(other, 0)
	var pieces []byte
	for at := 0; at < len(other); at += int(d.PieceLength) {
		sum := sha1.Sum(other[at:min(at+int(d.PieceLength), len(other))])
		pieces = append(pieces, sum[:]...)
	}
	both, err := bittorrent.Describe(d.Name, d.Files, true, d.PieceLength, pieces)
	if err != nil {
		t.Fatal(err)
	}
	g := newGiver(t, 'x', both, [][]byte{other})
	takeInfo(t, oak, both, g)
	oak.until(t, "paused", func() bool { return oak.holdingOf(t, both.ID()).State == kith.HoldingPaused })
	if h := oak.holdingOf(t, both.ID()); !strings.Contains(h.Reason, "contradicts itself") || h.Have != 0 {
		t.Errorf("%+v", h)
	}
}

// TestHeldAcrossRestart stops the host while pieces are held.
func TestHeldAcrossRestart(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	_, d, files := orphan(t, v, 3<<20+5, 70_000)
	g := newGiver(t, 'a', d, files)
	g.most.Store(150)
	takeInfo(t, oak, d, g)
	awaitReal(t, "half of it given", func() bool { return g.given.Load() >= g.most.Load() })
	oak.until(t, "half of it held", func() bool { return oak.holdingOf(t, d.ID()).Have > 1<<20 })
	bitmap := func() []byte {
		x, err := oak.exchangeOf(d.ID())
		if err != nil {
			t.Fatal(err)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.bitmapLocked()
	}
	if first := d.First(1); bytes.ContainsFunc(bitmap()[:first/8], func(c rune) bool { return c != 0 }) {
		t.Error("blocks that SHA-1 alone vouches for are announced")
	}
	oak.stop()
	g.most.Store(0)
	oak.start(t)
	untilTaken(t, oak, d, files)
	if n := g.given.Load(); n > int64(d.Blocks())+40 {
		t.Errorf("%d blocks were asked for, of %d", n, d.Blocks())
	}
}

// TestMemberVouches has a member come that has a part: its hashes vouch for what a client gave.
func TestMemberVouches(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	_, d, files := orphan(t, v, 2<<20)
	g := newGiver(t, 'a', d, files)
	g.most.Store(100)
	takeInfo(t, oak, d, g)
	awaitReal(t, "most of it given", func() bool { return g.given.Load() >= g.most.Load() })
	maple.start(t)
	untilTaken(t, oak, d, files)
	if h := oak.holdingOf(t, d.ID()); h.Received > d.Size()+40*content.BlockSize {
		t.Errorf("%d bytes came, of %d", h.Received, d.Size())
	}
}
