package swarm

import (
	"io"
	"testing"

	"kith.alt/kith"
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
