package swarm

import (
	"bufio"
	"sync/atomic"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// TestFetchHashes has a member answer only when as many requests have come as may be
// under way, and counts them.
func TestFetchHashes(t *testing.T) {
	t.Parallel()
	const requests = 6
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	path, data := maple.write(t, "song.ogg", (requests*maxHashes-10)*content.BlockSize-9)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	d, err := maple.described(entry.Content)
	if err != nil {
		t.Fatal(err)
	}
	a := newAttacker(t, v, path, data, d)
	var came atomic.Int64
	a.hashes = func(c talk) {
		r := bufio.NewReader(c)
		var waiting []bittorrent.Message
		for {
			m, err := bittorrent.ReadMessage(r, new([]byte), maxMessage)
			if err != nil {
				return
			}
			waiting = append(waiting, m)
			if came.Add(1) < requests && len(waiting) < hashesAhead {
				continue
			}
			c.say(c.hashes(waiting[0]))
			if waiting = waiting[1:]; came.Load() == requests {
				for _, m := range waiting {
					c.say(c.hashes(m))
				}
				waiting = nil
			}
		}
	}
	a.listen()
	file, err := oak.Swarm.store.File(t.Context(), d.Files[0].Root, d.Files[0].Size)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, from := range []kith.ID{a.id, maple.id} { // the second time nothing is lacking
		if err := oak.fetchHashes(t.Context(), from, entry.Content, file); err != nil {
			t.Fatal(err)
		}
		for block := range file.Blocks() {
			if !file.HasHashes(block) {
				t.Fatalf("no hash of block %d of %d", block, file.Blocks())
			}
		}
	}
	if n := came.Load(); n != requests {
		t.Errorf("%d requests for the hashes of %d blocks", n, file.Blocks())
	}
}
