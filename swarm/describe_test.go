package swarm

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith"
)

// TestSilentMembers names members that say nothing before the one that has the
// content: they are not waited for.
func TestSilentMembers(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	maple, oak := v.host("maple"), v.host("oak")
	path, want := maple.write(t, "song.ogg", 100_000)
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	silence := make(chan struct{})
	defer close(silence)
	var from []kith.ID
	for _, name := range []string{"ash", "elm", "yew", "fir"} {
		a := &attacker{villager: v.add(t, name), t: t}
		a.describe = func(net.Conn) { <-silence }
		a.listen()
		from = append(from, a.id)
	}
	oak.until(t, "aware of them", func() bool { return oak.isMember(from[3]) })
	begun := time.Now()
	target := filepath.Join(oak.files, "taken.ogg")
	if _, err := oak.Take(t.Context(), kith.Taking{Content: entry.Content, From: append(from, maple.id), Path: target}); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, entry.Content, target, want)
	if took := time.Since(begun); took > 2*describePatience {
		t.Errorf("it took %v", took)
	}
}
