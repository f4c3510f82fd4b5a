package torrent

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// fuzzed returns a server of one content, of which all is here.
func fuzzed(f *testing.F) (*Server, *share) {
	files := someFiles()
	d, sums, _ := files.describe(f, "oak", false)
	s, _ := newShare(f, d)
	s.fill(f, sums, files, func(int) bool { return true })
	return New(Config{
		Content: func(_ netip.Addr, name [20]byte) (Content, error) {
			for _, known := range d.InfoHashes() {
				if known == name {
					return s, nil
				}
			}
			return nil, kith.NotFound
		},
		Client: "kith test", Log: slog.New(slog.DiscardHandler), Metrics: new(kith.Metrics),
	}), s
}

// FuzzTracker asks the tracker for anything: it answers in HTTP, or not at all.
func FuzzTracker(f *testing.F) {
	server, s := fuzzed(f)
	d := s.d
	get := func(path string) { f.Add([]byte("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:6881\r\n\r\n")) }
	get(announcePath + "?" + query(d.IDv1(), 6881, 0, "started"))
	get(announcePath + "?" + query(d.IDv1(), 6882, 9, "completed") + "&numwant=-1&compact=0&ip=10.0.0.1")
	get(announcePath + "?" + query(d.IDv1(), 0, 9, "stopped"))
	get(announcePath + "?" + query([20]byte{1}, 6881, 9, ""))
	id := d.IDv1()
	get(scrapePath + "?info_hash=" + url.QueryEscape(string(id[:])) + "&info_hash=" + url.QueryEscape(string(id[:])))
	get("/../announce?info_hash=%zz")
	f.Add([]byte("POST /announce HTTP/1.0\r\nHost: localhost\r\nContent-Length: 9999999999\r\nOrigin: x\r\n\r\n"))
	f.Add([]byte("GET http://evil.example/announce HTTP/1.1\r\nHost: evil.example\r\nSec-Fetch-Site: cross-site\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		defer work.Wait()
		defer cancel()
		near, far := net.Pipe()
		defer near.Close()
		work.Go(func() {
			defer far.Close()
			server.answerHTTP(ctx, &work, far, bufio.NewReader(bytes.NewReader(in))) // an error is of what is no HTTP
		})
		near.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(near)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer) == 0 {
			return // it is no HTTP
		}
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			t.Fatalf("%q is answered with %q: %v", in, answer, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode == http.StatusOK && (len(body) < 2 || body[0] != 'd' || body[len(body)-1] != 'e') {
			t.Fatalf("%q is answered with %q: %v", in, body, err)
		}
	})
}

// FuzzMetadata asks for pieces of the info dictionary (BEP 9): each answer is a piece of it, or
// a refusal.
func FuzzMetadata(f *testing.F) {
	server, s := fuzzed(f)
	for _, piece := range []int{0, 1, 9, 131071} {
		f.Add(bittorrent.AppendMetadata(nil, bittorrent.Metadata{Kind: bittorrent.MetadataRequest, Piece: piece}))
	}
	f.Add(bittorrent.AppendMetadata(nil, bittorrent.Metadata{Kind: bittorrent.MetadataData, Total: 1 << 30, Data: []byte("d")}))
	f.Add([]byte("d8:msg_typei0e5:piecei-1ee"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		p := newPeer(server, far, s, bittorrent.Handshake{Extended: true, Fast: true, InfoHash: s.d.IDv1(), PeerID: callerID}, false)
		p.part, _ = s.Join(p)
		defer p.part.Leave()
		if err := p.handle(bittorrent.Message{Type: bittorrent.Extended, Payload: []byte("d1:md11:ut_metadatai7eee")}); err != nil {
			t.Fatal(err)
		}
		if err := p.handle(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: metadataID, Payload: payload}); err != nil {
			return
		}
		out, err := p.compose(nil, true)
		if err != nil || len(out) == 0 {
			return
		}
		var buffer []byte
		m, err := bittorrent.ReadMessage(bufio.NewReader(bytes.NewReader(out)), &buffer, maxMessage)
		if err != nil || m.Type != bittorrent.Extended || m.ExtendedID != 7 {
			t.Fatalf("%q is answered with %+v, %v", payload, m, err)
		}
		got, err := bittorrent.ParseMetadata(m.Payload)
		if err != nil || got.Kind == bittorrent.MetadataData && !bytes.HasPrefix(s.d.Raw[got.Piece*bittorrent.MetadataPiece:], got.Data) {
			t.Fatalf("%q is answered with %+v, %v", payload, got, err)
		}
	})
}

// FuzzFetchMetadata has a client say anything where an info dictionary is fetched: nothing
// larger than it may be comes back, and it ends.
func FuzzFetchMetadata(f *testing.F) {
	raw := madeUp(5, 100)
	hello := bittorrent.AppendMessage(nil, bittorrent.Message{Type: bittorrent.Extended, Payload: bittorrent.AppendExtendedHandshake(nil, bittorrent.ExtendedHandshake{Metadata: 9, MetadataSize: len(raw)})})
	data := bittorrent.AppendMessage(hello, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: metadataID,
		Payload: bittorrent.AppendMetadata(nil, bittorrent.Metadata{Kind: bittorrent.MetadataData, Total: len(raw), Data: raw})})
	f.Add(data)
	f.Add(hello)
	f.Add(bittorrent.AppendMessage(hello, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: metadataID, Payload: bittorrent.AppendMetadata(nil, bittorrent.Metadata{Kind: bittorrent.MetadataReject})}))
	f.Fuzz(func(t *testing.T, said []byte) {
		got, err := metadataOver(t, func(conn net.Conn) {
			go io.Copy(io.Discard, conn)
			conn.Write(said)
		})
		if err == nil && (len(got) == 0 || len(got) > len(said)) {
			t.Errorf("%d bytes came out of %d", len(got), len(said))
		}
	})
}
