package overlay

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// TestUnreadOnQUIC has sockets whose programs do not read: others on the carrier
// go on, and so do its pings.
func TestUnreadOnQUIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _, dialed, accepted := neighbours(t)
		for range 16 {
			unread, _ := connected(t, a, b)
			if _, err := unread.Write(make([]byte, 400<<10)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(doubtAfter + stallAfter + time.Second)
		began := time.Now()
		exchange(t, dialed, accepted)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("a message and its answer took %v", took)
		}
		for _, l := range links(a, b.id) {
			if l.vigil.stalled.Load() {
				t.Error("the carrier counts as silent")
			}
		}
	})
}

// TestStrangerOnQUIC has somebody who is not admitted open a second stream: the
// connection ends before anything else is taken.
func TestStrangerOnQUIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _, _, _ := neighbours(t)
		config, err := a.diallerConfig(b.id)
		if err != nil {
			t.Fatal(err)
		}
		l := links(a, b.id)[0]
		a.mu.Lock()
		transport := a.door.transport
		a.mu.Unlock()
		conn, err := dialQUIC(t.Context(), transport, l.remote(), config)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			st, err := conn.OpenStreamSync(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			st.Write([]byte("hello"))
		}
		select {
		case <-conn.Context().Done():
		case <-time.After(time.Second):
			t.Error("the connection goes on")
			conn.CloseWithError(0, "")
		}
	})
}
