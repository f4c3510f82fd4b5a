package swarm

import (
	"bufio"
	"context"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/store/sqlite"
)

// An attacker is a member that speaks the wire by hand, and has a content. What is
// nil it does as it should, or not at all.
type attacker struct {
	*villager
	t           *testing.T
	description *bittorrent.Description
	bytes       []byte
	file        *content.File // to take the hashes from
	met         atomic.Int64  // sockets that asked for blocks

	describe func(conn net.Conn)
	welcome  func(conn net.Conn) bool // false: that is all
	talk     func(talk)
	hear     func(talk, bittorrent.Message) // each message
	hashes   func(talk)                     // answers requests for hashes of files
}

// A talk is one of an attacker's conversations about blocks.
type talk struct {
	net.Conn
	a *attacker
}

func (c talk) say(messages ...bittorrent.Message) error {
	var text []byte
	for _, m := range messages {
		text = bittorrent.AppendMessage(text, m)
	}
	_, err := c.Write(text)
	return err
}

// repeat says something until the other side has enough, or n times.
func (c talk) repeat(n int, m bittorrent.Message) {
	text := bittorrent.AppendMessage(nil, m)
	for range n {
		if _, err := c.Write(text); err != nil {
			return
		}
	}
}

// dribble says something a byte a second, until the other side has enough.
func (c talk) dribble(m bittorrent.Message) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for text := bittorrent.AppendMessage(nil, m); len(text) > 0; text = text[1:] {
		if _, err := c.Write(text[:1]); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-c.a.t.Context().Done():
			return
		}
	}
}

// block is a block as it should be.
func (c talk) block(i int) bittorrent.Message {
	from := i * content.BlockSize
	return bittorrent.Message{Type: bittorrent.Piece, Index: uint32(i), Payload: c.a.bytes[from:min(from+content.BlockSize, len(c.a.bytes))]}
}

// wrong is a block that is not as it should be.
func (c talk) wrong(i int) bittorrent.Message {
	m := c.block(i)
	m.Payload = append([]byte(nil), m.Payload...)
	m.Payload[len(m.Payload)/2] ^= 1
	return m
}

// hashes answers a request for hashes as one should.
func (c talk) hashes(m bittorrent.Message) bittorrent.Message { return hashAnswer(c.a.file, m) }

// honest does what is asked for.
func honest(c talk, m bittorrent.Message) {
	switch m.Type {
	case bittorrent.Request:
		c.say(c.block(int(m.Index)))
	case bittorrent.HashRequest:
		c.say(c.hashes(m))
	}
}

// newAttacker adds an attacker to a village whose first host has published data.
func newAttacker(t *testing.T, v *village, path string, data []byte, d *bittorrent.Description) *attacker {
	t.Helper()
	h := v.add(t, "attacker")
	store, err := sqlite.Open(t.Context(), filepath.Join(h.data, "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	files := content.NewStore(content.Config{Dir: filepath.Join(h.data, "content"), Store: store, Log: h.log(t)})
	if err := files.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	sum, err := sumFile(t.Context(), path, nil, d.PieceLength, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Import(t.Context(), path, sum); err != nil {
		t.Fatal(err)
	}
	file, err := files.File(t.Context(), sum.Root, sum.Size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &attacker{villager: h, t: t, description: d, bytes: data, file: file}
}

// listen serves whoever comes until the test ends.
func (a *attacker) listen() {
	a.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := a.village.hub.Network(a.id).Listen(ctx, kith.Address{Port: Port})
	if err != nil {
		a.t.Fatal(err)
	}
	done := make(chan struct{})
	a.t.Cleanup(func() { cancel(); ln.Close(); <-done })
	a.village.mu.Lock()
	a.online = true
	a.village.mu.Unlock()
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			go a.serve(conn)
		}
	}()
}

func (a *attacker) serve(conn net.Conn) {
	defer conn.Close()
	g, err := readGreeting(conn)
	if err != nil {
		return
	}
	switch g.ask {
	case askDescription:
		if a.describe != nil {
			a.describe(conn)
			return
		}
		answerDescription(conn, a.description.Raw)
	case askBlocks:
		a.met.Add(1)
		if a.welcome != nil {
			if !a.welcome(conn) {
				return
			}
		} else if _, err := conn.Write(welcome{}.bytes()); err != nil {
			return
		}
		a.converse(talk{conn, a})
	case askHashes:
		if a.hashes != nil {
			a.hashes(talk{conn, a})
		}
	default:
		io.Copy(io.Discard, conn)
	}
}

// converse talks and hears until the other side ends it.
func (a *attacker) converse(c talk) {
	defer c.Close()
	if a.talk != nil {
		go a.talk(c)
	}
	r := bufio.NewReader(c)
	for {
		m, err := bittorrent.ReadMessage(r, new([]byte), maxMessage)
		if err != nil {
			return
		}
		if a.hear != nil {
			a.hear(c, m)
		}
	}
}

// greet dials a host and asks for blocks of the content.
func (a *attacker) greet(h *villager, greetings ...byte) (talk, error) {
	h.until(a.t, "aware of the attacker", func() bool { return h.isMember(a.id) })
	conn, err := a.village.hub.Network(a.id).Dial(a.t.Context(), kith.Address{Host: h.id.String(), Port: Port})
	if err != nil {
		return talk{}, err
	}
	if greetings == nil {
		greetings = greeting{ask: askBlocks, content: kith.ContentID(a.description.ID())}.bytes()
	}
	_, err = conn.Write(greetings)
	return talk{conn, a}, err
}
