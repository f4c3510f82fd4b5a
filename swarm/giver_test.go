package swarm

import (
	"bufio"
	"crypto/sha1"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// A giver is a torrent client of version 1 that has all of a content and listens on
// loopback.
type giver struct {
	d       *bittorrent.Description
	name    [20]byte // of version 1
	raw     []byte   // info dictionary
	files   [][]byte // as d has them
	id      [20]byte
	address netip.AddrPort
	lies    func(block int) bool // it sends another block; nil: never
	given   atomic.Int64         // blocks
	most    atomic.Int64         // blocks that it gives; 0: any
}

// newGiver makes a client of the content that a host shares.
func newGiver(t *testing.T, name byte, d *bittorrent.Description, files [][]byte) *giver {
	t.Helper()
	return listenGiver(t, name, d, d.Raw, files)
}

// newBareGiver makes a client that has an info dictionary, and gives no more.
func newBareGiver(t *testing.T, raw []byte) *giver {
	t.Helper()
	return listenGiver(t, 'z', new(bittorrent.Description), raw, nil)
}

func listenGiver(t *testing.T, name byte, d *bittorrent.Description, raw []byte, files [][]byte) *giver {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &giver{d: d, files: files, name: sha1.Sum(raw), raw: raw, address: ln.Addr().(*net.TCPAddr).AddrPort()}
	copy(g.id[:], "-GV0001-"+string(slices.Repeat([]byte{name}, 12)))
	var mu sync.Mutex
	var open []net.Conn
	var work sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	work.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			work.Go(func() {
				defer conn.Close()
				g.serve(conn)
			})
		}
	})
	return g
}

func (g *giver) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	theirs, err := bittorrent.ReadHandshake(r)
	if err != nil || theirs.InfoHash != g.name {
		return
	}
	out := bittorrent.AppendHandshake(nil, bittorrent.Handshake{Extended: true, InfoHash: theirs.InfoHash, PeerID: g.id})
	if g.files != nil {
		bitmap := content.NewBitmap(g.d.PieceCount())
		for piece := range g.d.PieceCount() {
			bitmap.Set(piece)
		}
		out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Bitfield, Payload: bitmap})
	}
	out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Extended, Payload: bittorrent.AppendExtendedHandshake(nil,
		bittorrent.ExtendedHandshake{Metadata: 3, MetadataSize: len(g.raw), Client: "giver"})})
	out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Unchoke})
	var buffer []byte
	metadata := uint8(0)
	for {
		if _, err := conn.Write(out); err != nil {
			return
		}
		out = out[:0]
		m, err := bittorrent.ReadMessage(r, &buffer, 1<<20)
		if err != nil {
			return
		}
		switch {
		case m.Type == bittorrent.Request:
			if g.most.Load() > 0 && g.given.Load() >= g.most.Load() {
				continue
			}
			g.given.Add(1)
			out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Piece, Index: m.Index, Begin: m.Begin, Payload: g.block(m)})
		case m.Type == bittorrent.Extended && m.ExtendedID == bittorrent.HandshakeID:
			if h, err := bittorrent.ParseExtendedHandshake(m.Payload); err == nil {
				metadata = h.Metadata
			}
		case m.Type == bittorrent.Extended && m.ExtendedID == 3:
			request, err := bittorrent.ParseMetadata(m.Payload)
			if err != nil {
				return
			}
			start := request.Piece * bittorrent.MetadataPiece
			out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: metadata, Payload: bittorrent.AppendMetadata(nil,
				bittorrent.Metadata{Kind: bittorrent.MetadataData, Piece: request.Piece, Total: len(g.raw),
					Data: g.raw[start:min(start+bittorrent.MetadataPiece, len(g.raw))]})})
		}
	}
}

func (g *giver) block(m bittorrent.Message) []byte {
	block := g.d.Piece(int(m.Index)).First + int(m.Begin/bittorrent.BlockSize)
	file, at, length := g.d.Locate(block)
	data := slices.Clone(g.files[file][at*bittorrent.BlockSize:][:length])
	if g.lies != nil && g.lies(block) {
		data[length/2]++
	}
	return data
}

// orphan has maple publish files of these sizes, one alone as itself, and leave; it returns what
// torrent clients know of them.
func orphan(t *testing.T, v *village, sizes ...int) (torrent []byte, d *bittorrent.Description, files [][]byte) {
	t.Helper()
	maple := v.host("maple")
	path := ""
	for i, size := range sizes {
		name := "song"
		if len(sizes) > 1 {
			name = filepath.Join("songs", string(rune('a'+i)))
		}
		var data []byte
		path, data = maple.write(t, name, size)
		files = append(files, data)
	}
	if len(sizes) > 1 {
		path = filepath.Dir(path)
	}
	entry, err := maple.Publish(t.Context(), kith.Publication{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	torrent, _, err = maple.Torrent(t.Context(), entry.Content)
	if err != nil {
		t.Fatal(err)
	}
	maple.stop()
	parsed, err := bittorrent.ParseTorrent(torrent)
	if err != nil {
		t.Fatal(err)
	}
	return torrent, parsed.Description, files
}

// takeFrom has a host take content from torrent clients.
func takeFrom(t *testing.T, h *villager, torrent []byte, givers ...*giver) (taking kith.Taking) {
	t.Helper()
	taking, err := h.Resolve(t.Context(), torrent)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range givers {
		taking.Clients = append(taking.Clients, g.address)
	}
	taking.Path = filepath.Join(h.files, "taken")
	if _, err := h.Take(t.Context(), taking); err != nil {
		t.Fatal(err)
	}
	return taking
}

// untilTaken waits until all of it is here, and compares.
func untilTaken(t *testing.T, h *villager, d *bittorrent.Description, files [][]byte) {
	t.Helper()
	for i, f := range d.Files {
		path := filepath.Join(append([]string{h.files, "taken"}, f.Path...)...)
		h.untilComplete(t, d.ID(), path, files[i])
	}
}

func awaitReal(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !check() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("not %s in time", what)
		}
	}
}
