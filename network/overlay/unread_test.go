package overlay

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
)

// TestUnreadIsBounded has a member fill sockets whose program does not read:
// those that wait longest end, and a socket that is read goes on.
func TestUnreadIsBounded(t *testing.T) {
	c := newClub()
	onlyTLS := func(config *Config) { config.Carriers = []string{carrierTLS} }
	a, b := c.member(t, 1, onlyTLS), c.member(t, 2, onlyTLS)
	idle, idleEnd := connected(t, a, b)
	exchange(t, idle, idleEnd)
	b.mu.Lock()
	unread := &b.peers[a.id].unread
	b.mu.Unlock()
	const many = 400
	var ends [many]net.Conn
	bytes := make([]byte, 240<<10)
	const most = 240 // beyond them, the sender has room for a chunk each
	for i := range ends {
		var dialed net.Conn
		dialed, ends[i] = connected(t, a, b)
		if i == most {
			bytes = bytes[:60<<10]
		}
		dialed.SetWriteDeadline(time.Now().Add(time.Minute))
		if _, err := dialed.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if held := unread.Load(); held > maxUnread+maxUnread/16 {
			t.Fatalf("%d bytes wait for readers", held)
		}
	}
	waitFor(t, "sockets to end", func() bool { return len(b.Sockets()) < many })
	ended := 0
	for _, end := range ends {
		if s := end.(*socket); s.end.Load() != nil {
			if ended++; !errors.Is(*s.end.Load(), kith.Quota) {
				t.Errorf("%v, want kind %q", *s.end.Load(), kith.Quota)
			}
		}
	}
	if ended == 0 || ended > 20 {
		t.Errorf("%d of %d sockets have ended", ended, many)
	}
	exchange(t, idle, idleEnd)
	b.Drop(a.id, kith.NotMember)
	waitFor(t, "nothing to be held", func() bool { return unread.Load() == 0 })
}

// TestUnreadForgets: what yamux refuses, resets or discards leaves no trace.
func TestUnreadForgets(t *testing.T) {
	u := &unread{streams: make(map[uint32]*unreadStream)}
	frame := func(flags byte, id uint32, payload string) []byte {
		b := []byte{0, frameData, 0, flags, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id), 0, 0, 0, byte(len(payload))}
		return append(b, payload...)
	}
	shared := new(atomic.Int64)
	for id := range uint32(3 * maxNew) {
		for _, b := range frame(frameSYN, id, "0123456789") { // in pieces
			u.arrive([]byte{b})
		}
		u.arrive(frame(0, 1<<20+id, "to nobody"))
	}
	u.limit(shared, func(stream) {})
	if len(u.streams) != maxNew || len(u.fresh) != maxNew || shared.Load() != 10*maxNew {
		t.Errorf("%d streams, %d new ones, %d bytes", len(u.streams), len(u.fresh), shared.Load())
	}
	u.close()
	u.arrive(frame(frameSYN, 1, "late"))
	if shared.Load() != 0 {
		t.Errorf("%d bytes after the end", shared.Load())
	}
}
