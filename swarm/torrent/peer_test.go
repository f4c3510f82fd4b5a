package torrent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// A caller is a client of the tests' own.
type caller struct {
	t      testing.TB
	conn   net.Conn
	r      *bufio.Reader
	buffer []byte
}

// call opens a connection and shakes hands.
func call(t testing.TB, address net.Addr, h bittorrent.Handshake) (*caller, bittorrent.Handshake) {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(bittorrent.AppendHandshake(nil, h)); err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, conn: conn, r: bufio.NewReader(conn)}
	answer, err := bittorrent.ReadHandshake(c.r)
	if err != nil {
		t.Fatal(err)
	}
	return c, answer
}

func (c *caller) say(messages ...bittorrent.Message) {
	c.t.Helper()
	var out []byte
	for _, m := range messages {
		out = bittorrent.AppendMessage(out, m)
	}
	if _, err := c.conn.Write(out); err != nil {
		c.t.Fatal(err)
	}
}

// hear returns the next message of a type; others are passed over.
func (c *caller) hear(kind bittorrent.Type) bittorrent.Message {
	c.t.Helper()
	for {
		m, err := bittorrent.ReadMessage(c.r, &c.buffer, maxMessage)
		if err != nil {
			c.t.Fatalf("no message of type %d: %v", kind, err)
		}
		if m.Type == kind {
			return m
		}
	}
}

// ended waits for the end of the connection.
func (c *caller) ended() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); errors.Is(err, context.DeadlineExceeded) {
		c.t.Error(err)
	}
}

var callerID = [20]byte([]byte("-XX0000-0123456789ab"))

// someFiles has pieces of several blocks, and short ones.
func someFiles() folder {
	return folder{"a": madeUp(1, 100000), "b": madeUp(2, 70000), "c": []byte("c")}
}

func seedOf(t testing.TB, f folder, only func(int) bool) *share {
	t.Helper()
	d, sums, _ := f.describe(t, "oak", false)
	s, _ := newShare(t, d)
	s.fill(t, sums, f, only)
	return s
}

func TestConversation(t *testing.T) {
	files := someFiles()
	s := seedOf(t, files, nil)
	_, address := serve(t, s)
	c, answer := call(t, address, bittorrent.Handshake{Extended: true, Fast: true, InfoHash: s.d.IDv1(), PeerID: callerID})
	if answer.InfoHash != s.d.IDv1() || !answer.Extended || !answer.Fast || !answer.V2 {
		t.Errorf("handshake %+v", answer)
	}
	c.hear(bittorrent.HaveAll)
	h, err := bittorrent.ParseExtendedHandshake(c.hear(bittorrent.Extended).Payload)
	if want := (bittorrent.ExtendedHandshake{Metadata: metadataID, MetadataSize: len(s.d.Raw), Client: "kith test", Queue: maxRequests}); h != want || err != nil {
		t.Errorf("%+v, %v", h, err)
	}

	// The info dictionary (BEP 9).
	c.say(bittorrent.Message{Type: bittorrent.Extended, Payload: bittorrent.AppendExtendedHandshake(nil, bittorrent.ExtendedHandshake{Metadata: 7, Client: "test\n1"})})
	for piece, want := range map[int]bittorrent.Metadata{
		0: {Kind: bittorrent.MetadataData, Total: len(s.d.Raw), Data: s.d.Raw},
		1: {Kind: bittorrent.MetadataReject, Piece: 1},
	} {
		c.say(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: metadataID, Payload: bittorrent.AppendMetadata(nil, bittorrent.Metadata{Piece: piece})})
		m := c.hear(bittorrent.Extended)
		got, err := bittorrent.ParseMetadata(m.Payload)
		if m.ExtendedID != 7 || got.Kind != want.Kind || got.Piece != want.Piece || got.Total != want.Total || !bytes.Equal(got.Data, want.Data) || err != nil {
			t.Errorf("piece %d: %+v, %v", piece, got, err)
		}
	}

	// Choked, then served.
	request := bittorrent.Message{Type: bittorrent.Request, Index: 1, Begin: bittorrent.BlockSize, Length: bittorrent.BlockSize}
	c.say(request)
	if m := c.hear(bittorrent.Reject); m.Index != 1 || m.Begin != bittorrent.BlockSize || m.Length != bittorrent.BlockSize {
		t.Errorf("%+v", m)
	}
	c.say(bittorrent.Message{Type: bittorrent.Interested})
	c.hear(bittorrent.Unchoke)
	padded := make([]byte, 131072)
	copy(padded, files["a"])
	for _, test := range []struct{ begin, length int }{
		{0, 16384}, {16384, 16384}, {32768, 34464 - 32768}, {32768, 16384}, {49152, 16384}, {0, 65536}, {1, 1}, {16383, 2}, {34463, 10}, {1000, 40000},
	} {
		c.say(bittorrent.Message{Type: bittorrent.Request, Index: 1, Begin: uint32(test.begin), Length: uint32(test.length)})
		m := c.hear(bittorrent.Piece)
		if want := padded[65536+test.begin:][:test.length]; m.Index != 1 || m.Begin != uint32(test.begin) || !bytes.Equal(m.Payload, want) {
			t.Errorf("%d bytes from %d are not right", test.length, test.begin)
		}
	}

	// Hashes (BEP 52).
	root := s.d.Files[0].Root
	c.say(bittorrent.Message{Type: bittorrent.HashRequest, Root: root, HashLength: 8})
	if m := c.hear(bittorrent.Hashes); len(m.Hashes) != 8*32 || m.Root != root {
		t.Errorf("%+v", m)
	}
	c.say(bittorrent.Message{Type: bittorrent.HashRequest, Root: [32]byte{1}, HashLength: 8})
	if m := c.hear(bittorrent.HashReject); m.Root != [32]byte{1} || m.HashLength != 8 {
		t.Errorf("%+v", m)
	}

	// Not interested any more.
	c.say(bittorrent.Message{Type: bittorrent.NotInterested})
	c.hear(bittorrent.Choke)
	c.say(request)
	c.hear(bittorrent.Reject)
	if len(s.parts) != 1 {
		t.Errorf("%d clients take part", len(s.parts))
	}
	for p := range s.parts {
		if p.peer.Client() != "test?1" || p.peer.Sent() == 0 || p.peer.Address().String() != c.conn.LocalAddr().String() {
			t.Errorf("%q, %d bytes, %s", p.peer.Client(), p.peer.Sent(), p.peer.Address())
		}
	}
}

func TestNamesOfContent(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	_, address := serve(t, s)
	short := shortID(s.d)
	for _, hash := range s.d.InfoHashes() {
		for _, v2 := range []bool{false, true} {
			want := hash
			if v2 && hash == s.d.IDv1() {
				want = short // BEP 52: upgraded
			}
			if _, answer := call(t, address, bittorrent.Handshake{V2: v2, InfoHash: hash, PeerID: callerID}); answer.InfoHash != want {
				t.Errorf("%x is answered with %x", hash, answer.InfoHash)
			}
		}
	}
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(bittorrent.AppendHandshake(nil, bittorrent.Handshake{InfoHash: [20]byte{1}}))
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("unknown content: %q, %v", got, err)
	}
}

func TestWhoBreaksTheRulesIsLeft(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	_, address := serve(t, s)
	ask := bittorrent.Message{Type: bittorrent.Request, Length: bittorrent.BlockSize}
	long, beyond, none, piece, flood := ask, ask, ask, ask, []bittorrent.Message{{Type: bittorrent.Interested}}
	long.Length, beyond.Begin, none.Length, piece.Index = maxRequest+1, 1<<32-1, 0, 99
	for range 1 << 16 {
		flood = append(flood, bittorrent.Message{Type: bittorrent.HashRequest, HashLength: 2})
	}
	for title, messages := range map[string][]bittorrent.Message{
		"long request":       {long},
		"request beyond":     {beyond},
		"request of nothing": {none},
		"no such piece":      {piece},
		"have beyond":        {{Type: bittorrent.Have, Index: 5}},
		"short bitfield":     {{Type: bittorrent.Bitfield}},
		"long bitfield":      {{Type: bittorrent.Bitfield, Payload: make([]byte, 9)}},
		"spare bits":         {{Type: bittorrent.Bitfield, Payload: []byte{0xff}}},
		"unasked block":      {{Type: bittorrent.Piece, Payload: make([]byte, bittorrent.BlockSize)}},
		"unasked length":     {{Type: bittorrent.Piece, Payload: make([]byte, 7)}},
		"reject beyond":      {{Type: bittorrent.Reject, Index: 99}},
		"extended handshake": {{Type: bittorrent.Extended, Payload: []byte("nonsense")}},
		"metadata":           {{Type: bittorrent.Extended, ExtendedID: metadataID, Payload: []byte("nonsense")}},
	} {
		c, _ := call(t, address, bittorrent.Handshake{Extended: true, Fast: true, InfoHash: s.d.IDv1(), PeerID: callerID})
		c.say(messages...)
		c.ended()
		if t.Failed() {
			t.Fatal(title)
		}
	}
	c, _ := call(t, address, bittorrent.Handshake{Fast: true, InfoHash: s.d.IDv1(), PeerID: callerID})
	var out []byte
	for _, m := range flood {
		out = bittorrent.AppendMessage(out, m)
	}
	c.conn.Write(out) // may fail: it is left before it is through, or answered
}

// A lying client is let go, named in the log, and stays away for a while; what it
// spoiled comes from another.
func TestLyingClient(t *testing.T) {
	files := someFiles()
	d, sums, _ := files.describe(t, "oak", false)
	s, _ := newShare(t, d)
	s.fill(t, sums, files, func(int) bool { return false })
	var log bytes.Buffer
	var mu sync.Mutex
	server, address := serveLogged(t, locked{&mu, &log}, s)
	h := bittorrent.Handshake{Fast: true, InfoHash: d.IDv1(), PeerID: callerID}
	c, _ := call(t, address, h)
	c.say(bittorrent.Message{Type: bittorrent.HaveAll})
	c.hear(bittorrent.Interested)
	c.say(bittorrent.Message{Type: bittorrent.Unchoke})
	m := c.hear(bittorrent.Request)
	c.say(bittorrent.Message{Type: bittorrent.Piece, Index: m.Index, Begin: m.Begin, Payload: make([]byte, m.Length)})
	c.ended()
	await(t, func() bool { return server.metrics.wrong.Value() == 1 })
	mu.Lock()
	if !strings.Contains(log.String(), "-XX0000-") {
		t.Errorf("log: %s", log.String())
	}
	mu.Unlock()

	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(bittorrent.AppendHandshake(nil, h))
	if got, _ := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("it is answered: %q", got)
	}

	h.PeerID[19]++
	c, _ = call(t, address, h)
	c.say(bittorrent.Message{Type: bittorrent.HaveAll})
	c.hear(bittorrent.Interested)
	c.say(bittorrent.Message{Type: bittorrent.Unchoke})
	give(c, d, files)
	c.hear(bittorrent.NotInterested)
	s.check(t, files)
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// give answers requests until all blocks are given.
func give(c *caller, d *bittorrent.Description, files folder) {
	for range d.Blocks() {
		m := c.hear(bittorrent.Request)
		span := d.Piece(int(m.Index))
		data := files.at(d, span.File)[span.Offset+int64(m.Begin):][:m.Length]
		c.say(bittorrent.Message{Type: bittorrent.Piece, Index: m.Index, Begin: m.Begin, Payload: data})
	}
}

// Blocks that come before their hashes wait for them.
func TestHashesComeAfterBlocks(t *testing.T) {
	files := someFiles()
	seed := seedOf(t, files, nil)
	s, _ := newShare(t, seed.d)
	_, address := serve(t, s)
	c, answer := call(t, address, bittorrent.Handshake{Fast: true, V2: true, InfoHash: s.d.IDv1(), PeerID: callerID})
	if answer.InfoHash != shortID(s.d) {
		t.Fatalf("%x", answer.InfoHash)
	}
	c.say(bittorrent.Message{Type: bittorrent.HaveAll})
	c.hear(bittorrent.Interested)
	c.say(bittorrent.Message{Type: bittorrent.Unchoke})
	var hashes []bittorrent.Message
	for blocks := 0; blocks < s.d.Blocks(); {
		m, err := bittorrent.ReadMessage(c.r, &c.buffer, maxMessage)
		if err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case bittorrent.HashRequest:
			m.Hashes = nil
			hashes = append(hashes, m)
		case bittorrent.Request:
			blocks++
			span := s.d.Piece(int(m.Index))
			c.say(bittorrent.Message{Type: bittorrent.Piece, Index: m.Index, Begin: m.Begin, Payload: files.at(s.d, span.File)[span.Offset+int64(m.Begin):][:m.Length]})
		}
	}
	if len(hashes) != 2 {
		t.Errorf("%d requests for hashes of 2 files", len(hashes))
	}
	for _, m := range hashes {
		c.say(seed.HashAnswer(m))
	}
	<-s.complete
	s.check(t, files)
}

// Have tells of a piece once all of it is here, and a request that a client takes
// back is not answered with the block.
func TestHaveAndCancel(t *testing.T) {
	files := someFiles()
	s := seedOf(t, files, func(block int) bool { return block == 0 })
	_, address := serve(t, s)
	c, _ := call(t, address, bittorrent.Handshake{Fast: true, InfoHash: s.d.IDv1(), PeerID: callerID})
	c.hear(bittorrent.HaveNone)
	s.mu.Lock()
	var p *part
	for p = range s.parts {
	}
	s.mu.Unlock()
	for block := 1; block < 4; block++ {
		if err := p.Arrived(block, files["a"][block*content.BlockSize:][:content.BlockSize]); err != nil {
			t.Fatal(err)
		}
	}
	if m := c.hear(bittorrent.Have); m.Index != 0 {
		t.Errorf("%+v", m)
	}
	c.say(bittorrent.Message{Type: bittorrent.Have, Index: 1})
	c.hear(bittorrent.Interested)
	c.say(bittorrent.Message{Type: bittorrent.Unchoke})
	for range 3 {
		c.hear(bittorrent.Request)
	}
	p.peer.Cancel(5)
	if m := c.hear(bittorrent.Cancel); m.Index != 1 || m.Begin != bittorrent.BlockSize {
		t.Errorf("%+v", m)
	}
	c.say(bittorrent.Message{Type: bittorrent.Reject, Index: 1, Begin: bittorrent.BlockSize, Length: bittorrent.BlockSize})
	c.say(bittorrent.Message{Type: bittorrent.Choke}, bittorrent.Message{Type: bittorrent.Unchoke})
	p.peer.Close()
	c.ended()
	await(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.parts) == 0 })
}

func TestTooManyClients(t *testing.T) {
	s := seedOf(t, someFiles(), nil)
	_, address := serve(t, s)
	var first *caller
	for i := range maxUnchoked + 1 {
		c, _ := call(t, address, bittorrent.Handshake{Fast: true, InfoHash: s.d.IDv1(), PeerID: [20]byte{byte(i)}})
		c.say(bittorrent.Message{Type: bittorrent.Interested})
		if i == 0 {
			first = c
		}
		if i < maxUnchoked {
			c.hear(bittorrent.Unchoke)
			continue
		}
		c.say(bittorrent.Message{Type: bittorrent.Request, Length: 1})
		c.hear(bittorrent.Reject)
		first.conn.Close()
		c.hear(bittorrent.Unchoke)
	}
	var conns []net.Conn
	for range maxConnections {
		conn, err := net.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	conns[len(conns)-1].SetReadDeadline(time.Now().Add(patience))
	if _, err := conns[len(conns)-1].Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// FuzzConversation has a client say anything after the handshake, in every state:
// the first byte tells which, the rest is sent.
func FuzzConversation(f *testing.F) {
	say := func(state byte, messages ...bittorrent.Message) {
		out := []byte{state}
		for _, m := range messages {
			out = bittorrent.AppendMessage(out, m)
		}
		f.Add(out)
	}
	say(0, bittorrent.Message{Type: bittorrent.Interested}, bittorrent.Message{Type: bittorrent.Request, Length: 16384}, bittorrent.Message{Type: bittorrent.Cancel, Length: 16384})
	say(1, bittorrent.Message{Type: bittorrent.HaveAll}, bittorrent.Message{Type: bittorrent.Unchoke}, bittorrent.Message{Type: bittorrent.Piece, Index: 4, Payload: []byte("c")})
	say(2, bittorrent.Message{Type: bittorrent.Bitfield, Payload: []byte{0xf8}}, bittorrent.Message{Type: bittorrent.Have, Index: 1}, bittorrent.Message{Type: bittorrent.Choke})
	say(3, bittorrent.Message{Type: bittorrent.HashRequest, HashLength: 2}, bittorrent.Message{Type: bittorrent.Hashes, Hashes: make([]byte, 64)}, bittorrent.Message{Type: bittorrent.HashReject})
	say(4, bittorrent.Message{Type: bittorrent.Extended, Payload: []byte("d1:md11:ut_metadatai3eee")}, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: 1, Payload: []byte("d8:msg_typei0e5:piecei0ee")})
	say(7, bittorrent.Message{Type: bittorrent.NotInterested}, bittorrent.Message{Type: bittorrent.Reject, Length: 16384}, bittorrent.Message{Type: bittorrent.Suggest}, bittorrent.Message{Type: bittorrent.KeepAlive})

	files := someFiles()
	d, sums, _ := files.describe(f, "oak", false)
	server := New(Config{Client: "kith test", Log: slog.New(slog.DiscardHandler), Metrics: new(kith.Metrics)})
	s, _ := newShare(f, d)
	s.fill(f, sums, files, func(block int) bool { return block%3 == 0 })
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		state := in[0]
		h := bittorrent.Handshake{Extended: state&1 != 0, Fast: state&2 == 0, InfoHash: d.IDv1(), PeerID: callerID}
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		p := newPeer(server, far, s, h, state&4 != 0)
		p.part, _ = s.Join(p)
		p.greet()
		for i, m := range []bittorrent.Message{
			{Type: bittorrent.Interested}, {Type: bittorrent.HaveAll}, {Type: bittorrent.Unchoke},
			{Type: bittorrent.Request, Index: 1, Length: 16384}, {Type: bittorrent.Choke},
		} {
			if state>>3&(1<<i) != 0 {
				if err := p.handle(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		r := bufio.NewReader(bytes.NewReader(in[1:]))
		var buffer, out []byte
		for {
			m, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
			if err == nil {
				err = p.handle(m)
			}
			if err == nil {
				out, err = p.compose(out[:0], true)
			}
			if err != nil {
				break
			}
			answers := bufio.NewReader(bytes.NewReader(out))
			var answer []byte
			for err == nil {
				_, err = bittorrent.ReadMessage(answers, &answer, maxMessage)
			}
			if err != io.EOF {
				t.Fatalf("%+v is answered with %x: %v", m, out, err)
			}
		}
		server.forget(p)
		p.part.Leave()
		if len(s.parts) > 0 || len(s.asked) > 0 || server.unchoked.taken > 0 {
			t.Fatalf("%d parts, %d requests, %d unchoked are left", len(s.parts), len(s.asked), server.unchoked.taken)
		}
		clear(s.hashed)
	})
}
