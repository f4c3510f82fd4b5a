package swarm

import (
	"bytes"
	"io"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// FuzzGreeting reads greetings: what is read is what is written.
func FuzzGreeting(f *testing.F) {
	f.Add(greeting{ask: askBlocks, content: kith.ContentID{1}, flags: 1}.bytes())
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, text []byte) {
		if g, err := readGreeting(bytes.NewReader(text)); err == nil && !bytes.HasPrefix(text, g.bytes()) {
			t.Errorf("%x reads as %+v", text, g)
		}
	})
}

// FuzzWelcome reads answers to greetings.
func FuzzWelcome(f *testing.F) {
	f.Add(welcome{hosts: make([]kith.ID, 3)}.bytes())
	f.Add([]byte{verdictHere, 0, 255})
	f.Fuzz(func(t *testing.T, text []byte) {
		if w, err := readWelcome(bytes.NewReader(text)); err == nil && !bytes.HasPrefix(text, w.bytes()) {
			t.Errorf("%x reads as %+v", text, w)
		}
	})
}

// FuzzLink says anything on a link to a seed: it goes on serving.
func FuzzLink(f *testing.F) {
	v := newVillage(f, "maple")
	maple := v.host("maple")
	path, data := maple.write(f, "song", 3*16384+1)
	entry, err := maple.Publish(f.Context(), kith.Publication{Path: path})
	if err != nil {
		f.Fatal(err)
	}
	a := &attacker{villager: v.add(f, "attacker"), t: new(testing.T), bytes: data}
	maple.until(f, "aware of the attacker", func() bool { return maple.isMember(a.id) })
	for _, m := range []bittorrent.Message{
		{Type: bittorrent.HaveAll}, {Type: bittorrent.Have, Index: 2}, {Type: bittorrent.Bitfield, Payload: []byte{0x80}},
		{Type: bittorrent.Request, Index: 1, Length: 16384}, {Type: bittorrent.Piece, Index: 3, Payload: []byte("x")},
		{Type: bittorrent.Reject, Index: 1}, {Type: bittorrent.Cancel, Index: 1}, credit(9),
		{Type: bittorrent.HashRequest, Root: [32]byte{1}, HashLength: 32, ProofLayers: 9},
		{Type: bittorrent.Extended, ExtendedID: extHosts, Payload: make([]byte, 64)},
	} {
		f.Add(bittorrent.AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		maple.bans.mu.Lock()
		clear(maple.bans.until)
		maple.bans.mu.Unlock()
		conn, err := v.hub.Network(a.id).Dial(t.Context(), kith.Address{Host: maple.id.String(), Port: Port})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			conn.Write(append(greeting{ask: askBlocks, content: entry.Content}.bytes(), text...))
			conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		if w, err := readWelcome(conn); err != nil || w.verdict != verdictHere {
			t.Fatalf("welcome %+v, %v", w, err)
		}
		io.Copy(io.Discard, conn)
	})
}
