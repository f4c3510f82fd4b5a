package rendezvous

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"kith.alt/kith"
)

// full is the largest board.
func full() board {
	var b board
	for i := range boardEntries {
		e := entry{id: kith.ID{byte(i + 1)}, time: int64(100 - i)}
		for j := range maxAddresses {
			e.addresses = append(e.addresses, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 14: byte(i), 15: byte(j)}), 4747))
		}
		b = append(b, e)
	}
	return b
}

func TestBoard(t *testing.T) {
	p, err := newPlace([32]byte{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	small := board{{id: kith.ID{1}, time: 1, addresses: published(at("192.0.2.1:1", "[::ffff:192.0.2.2]:2", "[2001:db8::1]:3")())}}
	for _, b := range []board{nil, small, full()} {
		sealed := p.write(b)
		if len(sealed) != sealedSize {
			t.Fatalf("%d bytes sealed", len(sealed))
		}
		if got, err := p.read(sealed); err != nil || !got.equal(b) {
			t.Errorf("read %v, %v", got, err)
		}
		if bytes.Equal(sealed, p.write(b)) {
			t.Error("the same board is sealed twice alike")
		}
		for range 20 {
			broken := bytes.Clone(sealed)
			broken[rand.N(len(broken))] ^= 1 << rand.N(8)
			if _, err := p.read(broken); err == nil {
				t.Error("a changed board was read")
			}
		}
		if _, err := p.read(sealed[1:]); err == nil {
			t.Error("a short board was read")
		}
		for _, other := range []struct {
			secret byte
			epoch  int64
		}{{1, 2}, {2, 1}} {
			q, err := newPlace([32]byte{other.secret}, other.epoch)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := q.read(sealed); err == nil || q.target == p.target {
				t.Error("a board was read at another place")
			}
		}
	}
}

func TestPublished(t *testing.T) {
	got := published(at("0.0.0.0:1", "192.0.2.1:0", "224.0.0.1:1", "255.255.255.255:1", "[::]:1", "[fe80::1%eth0]:1",
		"192.0.2.1:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1", "10.0.0.1:1")())
	if len(got) != 2 || got[0].String() != "192.0.2.1:1" || got[1].String() != "10.0.0.1:1" {
		t.Errorf("published %v", got)
	}
	if got := published(append(full()[0].addresses, full()[1].addresses...)); len(got) != maxAddresses {
		t.Errorf("published %d", len(got))
	}
}

func TestMerge(t *testing.T) {
	boards := rapid.Custom(func(t *rapid.T) board {
		var b board
		for range rapid.IntRange(0, boardEntries).Draw(t, "entries") {
			b = append(b, entry{
				id:        kith.ID{rapid.Byte().Draw(t, "id")%9 + 1},
				time:      int64(rapid.IntRange(0, 5).Draw(t, "time")),
				addresses: full()[rapid.IntRange(0, 4).Draw(t, "addresses")].addresses,
			})
		}
		return merge(b)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := boards.Draw(t, "a"), boards.Draw(t, "b"), boards.Draw(t, "c")
		if !merge(a, b, c).equal(merge(c, merge(b, a))) {
			t.Error("the order matters")
		}
		if m := merge(a, b); !m.equal(merge(m, m, a)) || len(m) > boardEntries {
			t.Error("repetition matters")
		}
		if got, err := parseBoard(merge(a, b).marshal()); err != nil || !got.equal(merge(a, b)) {
			t.Errorf("parsed %v, %v", got, err)
		}
	})
}

func FuzzBoard(f *testing.F) {
	f.Add(board(nil).marshal())
	f.Add(full().marshal())
	f.Add(board{{id: kith.ID{1}, time: 1, addresses: at("192.0.2.1:1")()}}.marshal())
	f.Fuzz(func(t *testing.T, plain []byte) {
		plain = append(plain, make([]byte, plainSize)...)[:plainSize] // most inputs would only be too short
		b, err := parseBoard(plain)
		if err != nil {
			return
		}
		if len(b) > boardEntries || !bytes.Equal(b.marshal(), plain) {
			t.Errorf("%d entries; marshalled differently", len(b))
		}
		for _, e := range b {
			if len(e.addresses) > maxAddresses {
				t.Errorf("%d addresses", len(e.addresses))
			}
		}
	})
}
