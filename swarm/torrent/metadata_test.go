package torrent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// A liar is a client that has an info dictionary, or says so.
type liar struct {
	raw     []byte
	size    int  // that it says
	stalls  bool // after the first piece
	rejects bool
	swaps   bool // sends another piece than asked for
	chatter bool
}

// answer has its side of a conversation after the handshakes.
func (l liar) answer(conn net.Conn) {
	r := bufio.NewReader(conn)
	say := func(to uint8, payload []byte) bool {
		_, err := conn.Write(bittorrent.AppendMessage(nil, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: to, Payload: payload}))
		return err == nil
	}
	if !say(0, bittorrent.AppendExtendedHandshake(nil, bittorrent.ExtendedHandshake{Metadata: 9, MetadataSize: l.size})) {
		return
	}
	var buffer []byte
	for n := 0; ; n++ {
		if l.chatter {
			if _, err := conn.Write(bittorrent.AppendMessage(nil, bittorrent.Message{Type: bittorrent.Have})); err != nil {
				return
			}
			continue
		}
		m, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
		if err != nil {
			return
		}
		if m.Type != bittorrent.Extended || m.ExtendedID != 9 {
			continue
		}
		request, err := bittorrent.ParseMetadata(m.Payload)
		if err != nil || l.stalls && request.Piece > 0 {
			continue
		}
		if l.swaps {
			request.Piece++
		}
		answer := bittorrent.Metadata{Kind: bittorrent.MetadataData, Piece: request.Piece, Total: l.size}
		if l.rejects {
			answer = bittorrent.Metadata{Kind: bittorrent.MetadataReject, Piece: request.Piece}
		} else if start := request.Piece * bittorrent.MetadataPiece; start < len(l.raw) {
			answer.Data = l.raw[start:min(start+bittorrent.MetadataPiece, len(l.raw))]
		}
		if !say(metadataID, bittorrent.AppendMetadata(nil, answer)) {
			return
		}
	}
}

// TestMetadataOfLiars fetches from clients that do not play fair, over a pipe.
func TestMetadataOfLiars(t *testing.T) {
	raw := madeUp(5, 3*bittorrent.MetadataPiece+100)
	for name, test := range map[string]struct {
		liar liar
		want error // nil: it is right
	}{
		"honest":    {liar{raw: raw, size: len(raw)}, nil},
		"too large": {liar{raw: raw, size: bittorrent.MaxDescription + 1}, kith.Invalid},
		"no size":   {liar{raw: raw}, kith.NotFound},
		"longer":    {liar{raw: raw, size: len(raw) + 1}, kith.Invalid},
		"shorter":   {liar{raw: raw, size: len(raw) - 1}, kith.Invalid},
		"stalls":    {liar{raw: raw, size: len(raw), stalls: true}, io.EOF},
		"rejects":   {liar{raw: raw, size: len(raw), rejects: true}, kith.NotFound},
		"swaps":     {liar{raw: raw, size: len(raw), swaps: true}, kith.Invalid},
		"chatters":  {liar{raw: raw, size: len(raw), chatter: true}, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got, err := metadataOver(t, test.liar.answer)
				switch {
				case test.want == nil && (err != nil || !bytes.Equal(got, raw)):
					t.Errorf("%d bytes, %v", len(got), err)
				case test.want == kith.Invalid || test.want == kith.NotFound:
					if !errors.Is(err, test.want) {
						t.Errorf("%v, want %v", err, test.want)
					}
				case test.want != nil && err == nil:
					t.Error("it came")
				}
				if took := time.Since(began); took > metadataPatience+greetPatience {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// metadataOver fetches over a pipe, whose other end answers.
func metadataOver(t testing.TB, answer func(net.Conn)) ([]byte, error) {
	s := newServer(io.Discard, nil)
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		drained := make(chan struct{})
		through, end := net.Pipe() // writes of both sides wait for nobody
		go func() {
			defer close(drained)
			io.Copy(end, theirs)
			end.Close()
		}()
		answer(duplex{theirs, through})
		theirs.Close()
		through.Close()
		<-drained
	}()
	ours.SetDeadline(time.Now().Add(greetPatience))
	raw, err := s.fetchMetadata(ours, bufio.NewReader(ours), bittorrent.Handshake{Extended: true})
	ours.Close()
	<-done
	return raw, err
}

// A duplex writes to one connection and reads from another.
type duplex struct {
	net.Conn
	from io.Reader
}

func (d duplex) Read(p []byte) (int, error) { return d.from.Read(p) }

// TestMetadata fetches from a server like this one, and nothing that is not right.
func TestMetadata(t *testing.T) {
	t.Parallel()
	s := seedOf(t, someFiles(), nil)
	_, address := serve(t, s)
	client := newServer(t.Output(), nil)
	at := netip.MustParseAddrPort(address.String())
	right := func(raw []byte) bool { return sha1.Sum(raw) == s.d.IDv1() }
	got, err := client.Metadata(t.Context(), at, [][20]byte{{1}, s.d.IDv1()}, right)
	if err != nil || !bytes.Equal(got, s.d.Raw) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := client.Metadata(t.Context(), at, [][20]byte{s.d.IDv1()}, func([]byte) bool { return false }); !errors.Is(err, kith.Invalid) {
		t.Errorf("another hash: %v", err)
	}
	if _, err := client.Metadata(t.Context(), at, [][20]byte{{1}}, right); !errors.Is(err, errUnknown) {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := client.Metadata(t.Context(), netip.MustParseAddrPort("192.0.2.1:6881"), [][20]byte{s.d.IDv1()}, right); !errors.Is(err, kith.Denied) {
		t.Errorf("a client outside: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Metadata(ctx, at, [][20]byte{s.d.IDv1()}, right); err == nil {
		t.Error("it came after its end")
	}
}

// TestStrangers notes who announces what is not known here.
func TestStrangers(t *testing.T) {
	s := newServer(io.Discard, nil)
	now := time.Now()
	name := [20]byte{7}
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	for port := range uint16(3) {
		s.tracker.note(stranger{name, at(port + 1)}, false, now)
		s.tracker.note(stranger{[20]byte{8}, at(port + 10)}, false, now)
	}
	s.tracker.note(stranger{name, at(2)}, true, now)
	if got, want := s.Announced([][20]byte{name}), []netip.AddrPort{at(1), at(3)}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for port := range uint16(3000) {
		s.tracker.note(stranger{[20]byte{9}, at(port + 1)}, false, now)
	}
	if n := len(s.tracker.strangers); n > maxStrangers {
		t.Errorf("%d strangers are remembered", n)
	}
}
