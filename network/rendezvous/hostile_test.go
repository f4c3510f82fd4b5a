package rendezvous

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"

	"kith.alt/kith"
	"kith.alt/kith/network/underlay"
)

// hostile makes a node of the DHT that answers a query with what reply returns.
func (w *wire) hostile(ctx context.Context, address string, reply func(query krpc.Msg) [][]byte) {
	c := w.listen(address)
	context.AfterFunc(ctx, func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var query krpc.Msg
			if bencode.Unmarshal(b[:n], &query) != nil || query.Y != krpc.YQuery {
				continue
			}
			for _, packet := range reply(query) {
				c.WriteTo(packet, from)
			}
		}
	}()
}

// response is what a well-behaved node would say, and what edit makes of it.
func response(query krpc.Msg, id krpc.ID, edit func(*krpc.Return)) []byte {
	token := "token"
	r := krpc.Return{ID: id, Token: &token}
	if edit != nil {
		edit(&r)
	}
	return bencode.MustMarshal(krpc.Msg{T: query.T, Y: krpc.YResponse, R: &r})
}

func setItem(r *krpc.Return, i *bep44.Item) {
	r.V, r.K, r.Sig, r.Seq = bencode.MustMarshal(i.V), i.K, i.Sig, &i.Seq
}

func signed(t testing.TB, p *place, seq int64, value any) *bep44.Item {
	t.Helper()
	i, err := bep44.NewItem(value, nil, seq, 0, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Nodes at the place say whatever they like; the two meet all the same, and
// nobody else. Five of them take what is written, so that three of the eight
// copies are elsewhere: eight could keep the two from each other.
func TestHostileNodes(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oakID, mapleID, secret := newID(t), newID(t), [32]byte{1}
		p, err := newPlace(secret, epochOf(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := newPlace([32]byte{2}, p.epoch)
		if err != nil {
			t.Fatal(err)
		}
		mallory := entry{id: newID(t), time: time.Now().UnixMilli(), addresses: at("203.0.113.66:1")()}
		old := signed(t, p, 1, p.write(board{{id: mapleID, time: 1, addresses: at("203.0.113.66:6")()}}))
		near := krpc.ID(p.target)
		behaviours := []func(query krpc.Msg) [][]byte{
			func(q krpc.Msg) [][]byte { // what the library's decoder does not survive
				return [][]byte{[]byte("d2:ip0:e"), []byte("d1:rd6:valuesl1:aeee"), []byte("d134217727:e"), []byte(strings.Repeat("l", 60000)),
					[]byte("d" + strings.Repeat("1:ad", 600)), {}, []byte("d"), []byte("de"), []byte("d1:y1:qe"),
					fmt.Appendf(nil, "d2:ip0:1:rd2:id20:%se1:t%d:%s1:y1:re", near[:], len(q.T), q.T)}
			},
			func(q krpc.Msg) [][]byte { // a query that names us
				return [][]byte{bencode.MustMarshal(krpc.Msg{T: q.T, Y: krpc.YQuery, Q: "put"}), bencode.MustMarshal(krpc.Msg{T: q.T, Y: krpc.YError})}
			},
			func(q krpc.Msg) [][]byte { // the right key without a sequence number
				return [][]byte{response(q, near, func(r *krpc.Return) { setItem(r, old); r.Seq = nil })}
			},
			func(q krpc.Msg) [][]byte { // signed by another key
				return [][]byte{response(q, near, func(r *krpc.Return) {
					setItem(r, signed(t, stranger, math.MaxInt64, p.write(board{mallory})))
				})}
			},
			func(q krpc.Msg) [][]byte { // the same under the right name
				return [][]byte{response(q, near, func(r *krpc.Return) {
					setItem(r, signed(t, stranger, math.MaxInt64, p.write(board{mallory})))
					r.K = p.public
				})}
			},
			func(q krpc.Msg) [][]byte { // replayed, under a sequence number that is not its own
				return [][]byte{response(q, near, func(r *krpc.Return) { setItem(r, old); later := int64(99); r.Seq = &later })}
			},
			func(q krpc.Msg) [][]byte { // replayed
				return [][]byte{response(q, near, func(r *krpc.Return) { setItem(r, old) })}
			},
			func(q krpc.Msg) [][]byte { // too long
				return [][]byte{response(q, near, func(r *krpc.Return) {
					setItem(r, signed(t, p, math.MaxInt64, make([]byte, sealedSize+1)))
					r.Token = nil
				}), response(q, near, func(r *krpc.Return) { r.V = bencode.MustMarshal(make([]byte, 60000)) })}
			},
			func(q krpc.Msg) [][]byte { // into private networks
				return [][]byte{response(q, near, func(r *krpc.Return) {
					r.Token = nil
					for _, a := range []string{"10.0.0.1:53", "127.0.0.1:80", "192.168.1.1:1", "100.64.1.1:1", "169.254.1.1:1", "224.0.0.251:5353", "255.255.255.255:1", "0.0.0.0:1", "203.0.113.5:0"} {
						var n krpc.NodeAddr
						n.FromAddrPort(netip.MustParseAddrPort(a))
						r.Nodes = append(r.Nodes, krpc.NodeInfo{ID: near, Addr: n})
					}
					var n krpc.NodeAddr
					n.FromAddrPort(netip.MustParseAddrPort("[fe80::1]:1"))
					r.Nodes6 = append(r.Nodes6, krpc.NodeInfo{ID: near, Addr: n})
				})}
			},
			func(q krpc.Msg) [][]byte { // no end of nodes that do not answer
				return [][]byte{response(q, near, func(r *krpc.Return) {
					r.Token = nil
					for i := range 60 {
						r.Nodes = append(r.Nodes, krpc.NodeInfo{ID: near, Addr: krpc.NodeAddr{IP: net.IPv4(198, 18, byte(time.Now().UnixNano()>>20), byte(i)), Port: 1}})
					}
				})}
			},
		}
		bootstrap := []string{dhtAddresses[0]}
		for i, behaviour := range behaviours {
			address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)}), 6881).String()
			bootstrap = append(bootstrap, address)
			w.hostile(ctx, address, behaviour)
		}
		var mu sync.Mutex
		puts := 0
		w.tap = func(from, to netip.AddrPort, packet []byte) {
			if from.String() == oakAddress && !underlay.IsPublic(to.Addr()) {
				t.Errorf("a packet to %v", to)
			}
			if from.String() == oakAddress && strings.Contains(string(packet), "1:q3:put") {
				mu.Lock()
				puts++
				mu.Unlock()
			}
		}
		oak, _ := w.join(ctx, t, oakAddress, bootstrap...)
		maple, _ := w.join(ctx, t, mapleAddress, bootstrap...)
		atOak := meet(ctx, oak, secret, oakID, at(oakAddress))
		atMaple := meet(ctx, maple, secret, mapleID, at(mapleAddress))
		next(t, atMaple, oakID, oakAddress)
		latest := netip.AddrPort{}
		for latest.String() != mapleAddress {
			m := <-atOak
			if m.Peer == mallory.id {
				t.Fatal("met Mallory")
			}
			latest = m.Addresses[0]
		}
		time.Sleep(time.Hour)
		for len(atOak) > 0 { // the replayed address may come first, and never after
			if m := <-atOak; m.Peer != mapleID || m.Addresses[0].String() != mapleAddress {
				t.Errorf("met %v", m)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if puts == 0 || puts > 500 {
			t.Errorf("%d packets wrote", puts)
		}
	})
}

// Who knows the secret can write anything, and must not do harm.
func TestHostileBoard(t *testing.T) {
	world(t, func(t *testing.T, ctx context.Context, w *wire) {
		oakID, mapleID, secret := newID(t), newID(t), [32]byte{1}
		p, err := newPlace(secret, epochOf(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		w.hostile(ctx, "198.51.100.99:1", func(q krpc.Msg) [][]byte {
			return [][]byte{response(q, krpc.ID(p.target), func(r *krpc.Return) {
				setItem(r, signed(t, p, math.MaxInt64, make([]byte, sealedSize)))
			})}
		})
		oak, _ := w.join(ctx, t, oakAddress, dhtAddresses[0], "198.51.100.99:1")
		maple, _ := w.join(ctx, t, mapleAddress, dhtAddresses[0])
		atOak := meet(ctx, oak, secret, oakID, at(oakAddress))
		meet(ctx, maple, secret, mapleID, at(mapleAddress))
		next(t, atOak, mapleID, mapleAddress) // oak cannot write above that number; it still reads
	})
}

func TestAnswer(t *testing.T) {
	good := response(krpc.Msg{T: "aa"}, krpc.ID{1}, nil)
	for _, test := range []struct {
		packet string
		want   bool
	}{
		{string(good), true},
		{string(bencode.MustMarshal(krpc.Msg{T: "aa", Y: "e", E: &krpc.Error{Code: 204, Msg: "Method Unknown"}})), true},
		{string(bencode.MustMarshal(krpc.Msg{T: "aa", Y: "q", Q: "ping"})), false},
		{string(good) + "x", false},
		{string(good[:len(good)-1]), false},
		{"", false},
		{"d", false},
		{"le", false},
		{"d2:ip0:e", false},
		{"d2:ip1:a1:y1:re", false},
		{"d1:rd6:valuesl1:aee1:y1:re", false},
		{"d1:rd2:id3:abce1:y1:re", false},
		{"d1:rd5:nodes25:aaaaaaaaaaaaaaaaaaaaaaaaae1:y1:re", false},
		{"d1:rd1:k1:ae1:y1:re", true}, // a short key is no key of ours
		{"d1:y1:r134217727:e", false},
		{"d1:y1:r-1:e", false},
		{"d1:y1:r1:x" + strings.Repeat("l", 100) + strings.Repeat("e", 101), false},
		{"d1:y1:r1:x1900:" + strings.Repeat("x", 1900) + "e", true},
		{"d1:y1:r1:x2100:" + strings.Repeat("x", 2100) + "e", false},
		{"d1:y1:r1:xi99999999999999999999ee", true},
		{"d1:rd3:seqi99999999999999999999eee", false},
	} {
		if got := answer([]byte(test.packet)); got != test.want {
			t.Errorf("answer(%.60q) = %v", test.packet, got)
		}
	}
}

// What passes the guard does not harm the library.
func FuzzAnswer(f *testing.F) {
	p, err := newPlace([32]byte{1}, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(response(krpc.Msg{T: "aa"}, krpc.ID{1}, func(r *krpc.Return) { setItem(r, signed(f, p, 1, p.write(nil))) }))
	f.Add([]byte("d1:eli204e14:Method Unknowne1:t2:aa1:y1:ee"))
	f.Add([]byte("d2:ip0:1:t2:aa1:y1:re"))
	f.Add([]byte("d2:ip6:abcdef1:rd2:id20:aaaaaaaaaaaaaaaaaaaa5:nodes26:bbbbbbbbbbbbbbbbbbbbbbbbbb5:token1:x6:valuesl6:cccccceee"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ok := answer(packet)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Fatalf("%d bytes allocated for %d", grown, len(packet))
		}
		if !ok {
			return
		}
		var m krpc.Msg
		if err := bencode.Unmarshal(packet, &m); err != nil {
			t.Fatal(err)
		}
		m.SenderID()
		var v views
		v.note(netip.MustParseAddrPort("192.0.2.1:1"), m.IP)
		if m.R != nil {
			p.itemIn(m.R)
			nodes := nodesFrom(netip.MustParseAddr("192.0.2.1"), append(slices.Clone([]krpc.NodeInfo(m.R.Nodes)), m.R.Nodes6...))
			for _, n := range nodes {
				if !underlay.IsPublic(n.Addr.ToNodeAddrPort().Addr()) {
					t.Errorf("a node at %v", n.Addr)
				}
			}
		}
	})
}

func TestIsNew(t *testing.T) {
	v := &visitor{self: newID(t), seen: map[kith.ID]int64{}}
	e := entry{id: newID(t), time: 5, addresses: at(oakAddress)()}
	for i, step := range []struct {
		entry entry
		want  bool
	}{
		{e, true},
		{e, false},
		{entry{e.id, 4, e.addresses}, false}, // replayed
		{entry{e.id, 6, e.addresses}, true},
		{entry{e.id, 7, nil}, false},
		{entry{v.self, 9, e.addresses}, false},
	} {
		if got := v.isNew(step.entry); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	for range 2 * maxPeers {
		e.id = newID(t)
		v.isNew(e)
	}
	if len(v.seen) != maxPeers {
		t.Errorf("%d peers", len(v.seen))
	}
}
