package swarm

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// An inquiry is an attacker that says anything to a host.
type inquiry struct {
	*attacker
	host *villager
	id   kith.ContentID
}

// newInquiry has maple share a file of some blocks.
func newInquiry(f *testing.F) (*inquiry, *bittorrent.Description) {
	v := newVillage(f, "maple")
	maple := v.host("maple")
	path, data := maple.write(f, "song", 40*content.BlockSize+1)
	entry, err := maple.Publish(f.Context(), kith.Publication{Path: path})
	if err != nil {
		f.Fatal(err)
	}
	d, err := maple.described(entry.Content)
	if err != nil {
		f.Fatal(err)
	}
	file, err := maple.Swarm.store.File(f.Context(), d.Files[0].Root, d.Size())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { file.Close() })
	a := &attacker{villager: v.add(f, "attacker"), t: new(testing.T), description: d, bytes: data, file: file}
	maple.until(f, "aware of the attacker", func() bool { return maple.isMember(a.id) })
	return &inquiry{a, maple, entry.Content}, d
}

// say opens a socket, says all of text and returns what is answered.
func (q *inquiry) say(t *testing.T, text []byte) []byte {
	t.Helper()
	q.host.bans.mu.Lock()
	clear(q.host.bans.until)
	q.host.bans.mu.Unlock()
	conn, err := q.village.hub.Network(q.attacker.id).Dial(t.Context(), kith.Address{Host: q.host.id.String(), Port: Port})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		conn.Write(text)
		conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	answer, _ := io.ReadAll(conn)
	return answer
}

// FuzzAsk asks a host for anything in any way: it answers and goes on.
func FuzzAsk(f *testing.F) {
	q, _ := newInquiry(f)
	hashes := hashRequest(q.file, 0)
	hashes.Type = bittorrent.HashRequest
	f.Add(byte(askDescription), []byte{})
	f.Add(byte(askHashes), bittorrent.AppendMessage(bittorrent.AppendMessage(nil, hashes), hashes))
	f.Add(byte(askHashes), bittorrent.AppendMessage(nil, bittorrent.Message{Type: bittorrent.KeepAlive}))
	f.Add(byte(askLibrary), []byte("\x00\x00\x00\x02\x01{"))
	f.Add(byte(99), []byte("hello"))
	want := q.description.Raw
	f.Fuzz(func(t *testing.T, ask byte, text []byte) {
		q.say(t, append(greeting{ask: ask, content: q.id}.bytes(), text...))
		if got := q.say(t, greeting{ask: askDescription, content: q.id}.bytes()); !bytes.HasSuffix(got, want) {
			t.Fatalf("it answers with %d bytes", len(got))
		}
	})
}

// FuzzTaker says anything on a link to a host that takes the content: nothing wrong is
// kept, and it goes on taking.
func FuzzTaker(f *testing.F) {
	q, d := newInquiry(f)
	oak := q.village.add(f, "oak")
	oak.start(f)
	q.host.stop() // the attacker is the only one
	q.host = oak
	proof := q.hashesOf(0)
	message := func(messages ...bittorrent.Message) (text []byte) {
		for _, m := range messages {
			text = bittorrent.AppendMessage(text, m)
		}
		return text
	}
	c := talk{a: q.attacker}
	for _, text := range [][]byte{
		message(bittorrent.Message{Type: bittorrent.HaveAll}, bittorrent.Message{Type: bittorrent.Unchoke}),
		message(bittorrent.Message{Type: bittorrent.HaveNone}, bittorrent.Message{Type: bittorrent.Have, Index: 3}),
		message(bittorrent.Message{Type: bittorrent.Bitfield, Payload: []byte{0xff, 0, 0, 0, 0, 0}}, bittorrent.Message{Type: bittorrent.Unchoke}, bittorrent.Message{Type: bittorrent.Choke}),
		message(bittorrent.Message{Type: bittorrent.HaveAll}, proof, c.block(40), bittorrent.Message{Type: bittorrent.Reject, Index: 2}),
		message(c.block(40), q.hashesOf(32), c.block(40)), // the short one, before its hashes
		message(bittorrent.Message{Type: bittorrent.HashReject, Root: proof.Root, HashLength: 32}, credit(5), bittorrent.Message{Type: bittorrent.Cancel, Index: 1}),
		message(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extPing, Payload: make([]byte, 8)}, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extPong, Payload: make([]byte, 8)}),
		message(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extHosts, Payload: make([]byte, 64)}, bittorrent.Message{Type: bittorrent.KeepAlive}),
	} {
		f.Add(text)
	}
	buf := make([]byte, content.BlockSize)
	begin := func() {
		if _, err := oak.Take(context.Background(), kith.Taking{Content: q.id}); err != nil {
			f.Fatal(err)
		}
		h, err := oak.holding(q.id)
		if err != nil {
			f.Fatal(err)
		}
		if err := oak.noteDescription(context.Background(), h, d); err != nil {
			f.Fatal(err)
		}
	}
	begin()
	f.Fuzz(func(t *testing.T, text []byte) {
		answer := q.say(t, append(greeting{ask: askBlocks, content: q.id}.bytes(), text...))
		if w, err := readWelcome(bytes.NewReader(answer)); err != nil || w.verdict != verdictHere {
			t.Fatalf("welcome %+v, %v", w, err)
		}
		x, err := oak.exchangeOf(q.id)
		if err != nil {
			t.Fatal(err)
		}
		for block := range d.Blocks() {
			n, err := x.files[0].ReadBlock(block, buf)
			if err == nil && !bytes.Equal(buf[:n], c.block(block).Payload) {
				t.Fatalf("block %d is wrong", block)
			}
			x.mu.Lock()
			has := x.plan.Has(block)
			x.mu.Unlock()
			if has != (err == nil) {
				t.Fatalf("block %d is here: %v, %t", block, err, has)
			}
		}
		if x.files[0].HasHashes(0) || x.files[0].HasHashes(40) { // once more, from nothing
			if err := oak.Drop(t.Context(), q.id); err != nil {
				t.Fatal(err)
			}
			begin()
		}
	})
}

// hashesOf is the proof of a block.
func (a *attacker) hashesOf(block int) bittorrent.Message {
	m := hashRequest(a.file, block)
	m.Type = bittorrent.HashRequest
	return hashAnswer(a.file, m)
}

// FuzzDescriptionAnswer answers anything when it is asked for a description: no more
// than that is kept.
func FuzzDescriptionAnswer(f *testing.F) {
	f.Add([]byte{verdictHere, 0, 0, 0, 3, 1, 2, 3})
	f.Add([]byte{verdictHere, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{verdictBusy, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, answer []byte) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			readGreeting(far)
			far.Write(answer)
		}()
		text, err := fetchDescription(t.Context(), near, kith.ContentID{1})
		if err == nil && (answer[0] != verdictHere || !bytes.HasPrefix(answer[5:], text)) {
			t.Errorf("%x is read as %x", answer, text)
		}
	})
}
