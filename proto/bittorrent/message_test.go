package bittorrent

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestMessages(t *testing.T) {
	root := [32]byte(bytes.Repeat([]byte{0xaa}, 32))
	rootHex := strings.Repeat("aa", 32)
	for _, test := range []struct {
		message Message
		wire    string
	}{
		{Message{Type: KeepAlive}, "00000000"},
		{Message{Type: Choke}, "0000000100"},
		{Message{Type: Unchoke}, "0000000101"},
		{Message{Type: Interested}, "0000000102"},
		{Message{Type: NotInterested}, "0000000103"},
		{Message{Type: Have, Index: 258}, "000000050400000102"},
		{Message{Type: Bitfield, Payload: []byte{0xff, 0x80}}, "0000000305ff80"},
		{Message{Type: Request, Index: 1, Begin: 0x4000, Length: 0x4000}, "0000000d06000000010000400000004000"},
		{Message{Type: Piece, Index: 1, Begin: 0x4000, Payload: []byte("abc")}, "0000000c070000000100004000616263"},
		{Message{Type: Cancel, Index: 1, Begin: 2, Length: 3}, "0000000d08000000010000000200000003"},
		{Message{Type: Suggest, Index: 7}, "000000050d00000007"},
		{Message{Type: HaveAll}, "000000010e"},
		{Message{Type: HaveNone}, "000000010f"},
		{Message{Type: Reject, Index: 1, Begin: 2, Length: 3}, "0000000d10000000010000000200000003"},
		{Message{Type: AllowedFast, Index: 7}, "000000051100000007"},
		{Message{Type: Extended, ExtendedID: 3, Payload: []byte("de")}, "0000000414036465"},
		{Message{Type: HashRequest, Root: root, BaseLayer: 1, Index: 2, HashLength: 4, ProofLayers: 8, Hashes: []byte{}}, "0000003115" + rootHex + "00000001000000020000000400000008"},
		{Message{Type: Hashes, Root: root, BaseLayer: 1, Index: 2, HashLength: 4, ProofLayers: 8, Hashes: root[:]}, "0000005116" + rootHex + "00000001000000020000000400000008" + rootHex},
		{Message{Type: HashReject, Root: root, BaseLayer: 1, Index: 2, HashLength: 4, ProofLayers: 8, Hashes: []byte{}}, "0000003117" + rootHex + "00000001000000020000000400000008"},
		{Message{Type: 9, Payload: []byte{0x1a, 0xe1}}, "00000003091ae1"},
	} {
		wire := AppendMessage([]byte("before"), test.message)
		if got := hex.EncodeToString(wire[6:]); got != test.wire {
			t.Errorf("%+v: %s, want %s", test.message, got, test.wire)
		}
		var buffer []byte
		r := bufio.NewReader(bytes.NewReader(wire[6:]))
		if got, err := ReadMessage(r, &buffer, 1<<10); !reflect.DeepEqual(got, test.message) || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", test.wire, got, err, test.message)
		}
		if _, err := ReadMessage(r, &buffer, 1<<10); err != io.EOF {
			t.Errorf("%s: %v at the end", test.wire, err)
		}
		for n := 1; n < len(wire)-6; n++ {
			if _, err := ReadMessage(bufio.NewReader(bytes.NewReader(wire[6:6+n])), &buffer, 1<<10); err != io.ErrUnexpectedEOF {
				t.Fatalf("%s cut to %d bytes: %v", test.wire, n, err)
			}
		}
	}
}

func TestReadMessageRefuses(t *testing.T) {
	for title, wire := range map[string]string{
		"too long":         "00000401ff",
		"far too long":     "ffffffff00",
		"choke and more":   "000000020000",
		"have of 3":        "0000000404000001",
		"have of 5":        "00000006040000000100",
		"request of 8":     "00000009060000000100004000",
		"request of 13":    "0000000e0600000001000040000000400000",
		"piece of 7":       "000000080700000001000040",
		"have all of 1":    "000000020e00",
		"extended of 0":    "0000000114",
		"hash request":     "0000000215aa",
		"hashes of 1 byte": "0000003216" + strings.Repeat("00", 49),
		"hash reject":      "0000005117" + strings.Repeat("00", 80),
	} {
		b, err := hex.DecodeString(wire)
		if err != nil {
			t.Fatal(err)
		}
		var buffer []byte
		if m, err := ReadMessage(bufio.NewReader(bytes.NewReader(b)), &buffer, 1<<10); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", title, m, err)
		}
	}
}

func TestRoomFollowsWhatArrives(t *testing.T) {
	wire := append([]byte{0x10, 0, 0, 0, 5}, make([]byte, 1000)...) // 256 MiB announced
	var buffer []byte
	if _, err := ReadMessage(bufio.NewReader(bytes.NewReader(wire)), &buffer, 1<<30); err != io.ErrUnexpectedEOF || cap(buffer) > 2*firstRoom {
		t.Errorf("%v, room for %d bytes", err, cap(buffer))
	}
	wire = AppendMessage(nil, Message{Type: Bitfield, Payload: bytes.Repeat([]byte("x"), 1<<20)})
	m, err := ReadMessage(bufio.NewReader(bytes.NewReader(wire)), &buffer, 2<<20)
	if err != nil || len(m.Payload) != 1<<20 || bytes.Count(m.Payload, []byte("x")) != 1<<20 {
		t.Errorf("%d bytes, %v", len(m.Payload), err)
	}
}

// cycle reads the same bytes for ever.
type cycle struct {
	text []byte
	at   int
}

func (c *cycle) Read(b []byte) (int, error) {
	n := copy(b, c.text[c.at:])
	c.at = (c.at + n) % len(c.text)
	return n, nil
}

func TestBlocksNeedNoAllocation(t *testing.T) {
	block := Message{Type: Piece, Index: 1, Payload: make([]byte, BlockSize)}
	r := bufio.NewReader(&cycle{text: AppendMessage(nil, block)})
	var buffer, out []byte
	if n := testing.AllocsPerRun(100, func() {
		m, err := ReadMessage(r, &buffer, 1<<17)
		if err != nil {
			t.Fatal(err)
		}
		out = AppendMessage(out[:0], m)
	}); n > 0 {
		t.Errorf("%v allocations for a block", n)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(AppendMessage(AppendMessage(nil, Message{Type: Have, Index: 1}), Message{Type: Piece, Payload: []byte("abc")}))
	f.Add(AppendMessage(nil, Message{Type: Hashes, Hashes: make([]byte, 64)}))
	f.Add(AppendMessage(nil, Message{Type: Extended, ExtendedID: 1, Payload: []byte("de")}))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		var buffer, out []byte
		for {
			m, err := ReadMessage(r, &buffer, 1<<16)
			if err != nil {
				if !errors.Is(err, ErrInvalid) && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				break
			}
			out = AppendMessage(out, m)
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatalf("%x is %x", in, out)
		}
	})
}

func TestHandshake(t *testing.T) {
	want := Handshake{Extended: true, Fast: true, V2: true, InfoHash: [20]byte([]byte("abcdefghijklmnopqrst")), PeerID: [20]byte([]byte("-XX0000-0123456789ab"))}
	wire := AppendHandshake(nil, want)
	if string(wire) != "\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x14abcdefghijklmnopqrst-XX0000-0123456789ab" || len(wire) != HandshakeSize {
		t.Errorf("%q", wire)
	}
	r := bytes.NewReader(append(wire, "more"...))
	if got, err := ReadHandshake(r); got != want || err != nil || r.Len() != 4 {
		t.Errorf("%+v, %v, %d left", got, err, r.Len())
	}
	for i, bits := range [8]byte{0, 0, 0, 0, 0, 0x10, 0, 0x04 | 0x10} {
		for bit := byte(1); bit != 0; bit <<= 1 {
			wire := AppendHandshake(nil, Handshake{})
			wire[len(Protocol)+i] = bit
			if got, err := ReadHandshake(bytes.NewReader(wire)); (got != Handshake{}) != (bits&bit != 0) || err != nil {
				t.Errorf("bit %#x of byte %d: %+v, %v", bit, i, got, err)
			}
		}
	}
	if _, err := ReadHandshake(strings.NewReader("GET /announce HTTP/1.1\r\n\r\n")); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	for n, want := range map[int]error{0: io.EOF, 1: io.ErrUnexpectedEOF, 20: io.ErrUnexpectedEOF, 67: io.ErrUnexpectedEOF} {
		if _, err := ReadHandshake(bytes.NewReader(wire[:n])); err != want {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// FuzzHandshake reads the first that a peer says: what is read is what is written, but
// for flags that nobody knows.
func FuzzHandshake(f *testing.F) {
	f.Add(AppendHandshake(nil, Handshake{Extended: true, Fast: true, V2: true, InfoHash: [20]byte{1}, PeerID: [20]byte{2}}))
	f.Add([]byte("GET /announce HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := ReadHandshake(bytes.NewReader(in))
		switch {
		case err == nil:
			if again, err := ReadHandshake(bytes.NewReader(AppendHandshake(nil, h))); err != nil || again != h {
				t.Fatalf("%+v, %v; want %+v", again, err, h)
			}
		case !errors.Is(err, ErrInvalid) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatal(err)
		}
	})
}
