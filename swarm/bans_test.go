package swarm

import (
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// TestBanOutlivesExchange has a member that was blocked come again when the content
// is exchanged anew.
func TestBanOutlivesExchange(t *testing.T) {
	t.Parallel()
	underAttack(t, func(a *attacker) {
		a.talk = func(c talk) { c.say(bittorrent.Message{Type: bittorrent.Have, Index: 1 << 31}) }
	}, func(oak *villager, a *attacker) bool {
		if !blocked(oak, a.id) {
			return false
		}
		id := kith.ContentID(a.description.ID())
		for _, paused := range []bool{true, false} {
			if err := oak.Pause(t.Context(), id, paused); err != nil {
				t.Fatal(err)
			}
		}
		c, err := a.greet(oak)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		w, err := readWelcome(c)
		if err != nil || w.verdict != verdictBusy {
			t.Errorf("whoever was blocked is welcome again: %+v, %v", w, err)
		}
		return true
	})
}

func TestBans(t *testing.T) {
	var b bans
	now := time.Now()
	song, film, oak, elm := kith.ContentID{1}, kith.ContentID{2}, kith.ID{1}, kith.ID{2}
	b.add(song, oak, now)
	for _, test := range []struct {
		content kith.ContentID
		host    kith.ID
		after   time.Duration
		want    bool
	}{{song, oak, 0, true}, {song, oak, banFor - 1, true}, {song, oak, banFor, false}, {film, oak, 0, false}, {song, elm, 0, false}} {
		if got := b.holds(test.content, test.host, now.Add(test.after)); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	for i := range maxBans {
		b.add(kith.ContentID{3, byte(i), byte(i >> 8)}, oak, now.Add(time.Duration(i+1)))
	}
	if len(b.until) != maxBans || b.holds(song, oak, now) || !b.holds(kith.ContentID{3}, oak, now) {
		t.Errorf("%d bans are remembered, or not the newest", len(b.until))
	}
}
