package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/networktest"
)

func TestPacketNetwork(t *testing.T) {
	for _, carrier := range []string{carrierTLS, carrierQUIC, carrierSelf} {
		t.Run(carrier, func(t *testing.T) {
			networktest.RunPacket(t, func(t *testing.T) networktest.PacketPair {
				c := newClub()
				a := c.member(t, 1, only(carrier))
				b := a
				if carrier != carrierSelf {
					b = c.member(t, 2, only(carrier))
				}
				return networktest.PacketPair{
					Near: a.Programs().(kith.PacketNetwork), Far: b,
					NearPeer: kith.Peer{ID: a.id, Program: true}, FarPeer: kith.Peer{ID: b.id},
				}
			})
		})
	}
}

// packets returns a datagram socket that is closed when the test ends.
func packets(t testing.TB, n kith.PacketNetwork, port uint16) net.PacketConn {
	t.Helper()
	s, err := n.ListenPacket(t.Context(), kith.Address{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sendUntil sends a datagram until one arrives.
func sendUntil(t testing.TB, from, to net.PacketConn, datagram string) kith.Sender {
	t.Helper()
	buffer := make([]byte, kith.MaxDatagram)
	for start := time.Now(); time.Since(start) < patience; {
		if _, err := from.WriteTo([]byte(datagram), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, sender, err := to.ReadFrom(buffer); err == nil && string(buffer[:n]) == datagram {
			return sender.(kith.Sender)
		}
	}
	t.Fatalf("%q does not arrive", datagram)
	return kith.Sender{}
}

func TestPacketPorts(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2, func(c *Config) { c.NodePorts = []uint16{5269} })
	for _, test := range []struct {
		network kith.Network
		address kith.Address
		kind    error
	}{
		{b, kith.Address{Port: 80}, nil},
		{b, kith.Address{Port: 80}, kith.InUse},
		{b, kith.Address{Host: b.id.String(), Port: 81}, nil},
		{b, kith.Address{Host: a.id.String(), Port: 82}, kith.Invalid},
		{b.Programs(), kith.Address{Port: 443}, kith.Denied},
		{b.Programs(), kith.Address{Port: 1023}, kith.Denied},
		{b.Programs(), kith.Address{Port: 5269}, kith.Denied},
		{b.Programs(), kith.Address{Port: 1024}, nil},
	} {
		s, err := test.network.(kith.PacketNetwork).ListenPacket(t.Context(), test.address)
		if !errors.Is(err, test.kind) {
			t.Errorf("listen on %s: %v, want %v", test.address, err, test.kind)
		}
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
	}
	// A port of nodes does not hear programs.
	chat := packets(t, b, 5269)
	program, node := packets(t, a.Programs().(kith.PacketNetwork), 0), packets(t, a, 0)
	open := packets(t, b, 2000)
	sendUntil(t, program, open, "arrives")
	for range 10 {
		program.WriteTo([]byte("psst"), chat.LocalAddr())
	}
	if from := sendUntil(t, node, chat, "from the node"); from.Program || from.ID != a.id {
		t.Errorf("sender is %#v", from)
	}
	chat.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		buffer := make([]byte, 64)
		n, _, err := chat.ReadFrom(buffer)
		if err != nil {
			break
		}
		if string(buffer[:n]) == "psst" {
			t.Fatal("a port of nodes has heard a program")
		}
	}
}

func TestPacketStrangers(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.stranger(t, 2)
	s, far := packets(t, a, 0), packets(t, b, 0)
	if _, err := s.WriteTo([]byte("hello"), far.LocalAddr()); !errors.Is(err, kith.NotMember) {
		t.Errorf("write to a stranger: %v, want kind %q", err, kith.NotMember)
	}
	if _, err := a.DialPacket(t.Context(), far.LocalAddr().(kith.Address)); !errors.Is(err, kith.NotMember) {
		t.Errorf("dial a stranger: %v, want kind %q", err, kith.NotMember)
	}
	if _, err := s.WriteTo([]byte("hello"), kith.Address{Host: "maple", Port: 7}); !errors.Is(err, kith.Invalid) {
		t.Errorf("write to a name: %v, want kind %q", err, kith.Invalid)
	}
}

// TestPacketsWait: the last datagrams for a host wait for the carrier.
func TestPacketsWait(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	s, far := packets(t, a, 0), packets(t, b, 0)
	const sent = 50
	for i := range sent {
		if _, err := s.WriteTo([]byte{byte(i)}, far.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	buffer := make([]byte, 64)
	for !slices.Contains(got, sent-1) {
		far.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := far.ReadFrom(buffer); err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got = append(got, buffer[0])
	}
}

// TestPacketsCut: after a carrier is lost, datagrams go on the next.
func TestPacketsCut(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		s, far := packets(t, a, 0), packets(t, b, 0)
		for i := range 10 {
			sendUntil(t, s, far, fmt.Sprint(i))
			sendUntil(t, far, s, fmt.Sprint("back ", i))
			o := []*Overlay{a, b}[i%2]
			o.mu.Lock()
			for l := range o.links {
				defer l.close()
				go l.close()
			}
			o.mu.Unlock()
		}
		if n := len(a.Sockets()); n != 0 {
			t.Errorf("%d sockets", n)
		}
	}
}

// TestPacketsRelayed: datagrams go through a relay, and on a direct path when
// there is one. A carrier that they use is not released.
func TestPacketsRelayed(t *testing.T) {
	c := newClub()
	a, b, m := c.member(t, 1), c.member(t, 2), c.member(t, 3, relaysMuch)
	where := c.where(b.id)
	c.hidden(a, b)
	meet(t, m, a, b)
	s, far := packets(t, a, 0), packets(t, b, 0)
	for _, size := range []int{1, kith.SmallDatagram, kith.MaxDatagram} {
		sendUntil(t, s, far, strings.Repeat("x", size))
		sendUntil(t, far, s, strings.Repeat("x", size))
	}
	if path, via := pathOf(a, b); path != pathRelayed || via != m.id {
		t.Errorf("path %q through %v", path, via.Short())
	}
	if a.Release(b.id) || b.Release(a.id) {
		t.Error("a carrier was released under a conversation")
	}
	if !a.Release(m.id) {
		t.Error("a carrier without datagrams was not released")
	}
	c.place(b.id, where...)
	waitFor(t, "datagrams on a direct path", func() bool {
		sendUntil(t, s, far, "hello")
		path, _ := pathOf(a, b)
		return path == pathLAN
	})
	sendUntil(t, s, far, "direct")
	sendUntil(t, far, s, "direct")
}

// TestPacketsUnreachable: a host that cannot be reached holds a few datagrams
// for a while, and nothing later.
func TestPacketsUnreachable(t *testing.T) {
	c := newClub()
	a := c.member(t, 1)
	s := packets(t, a, 0)
	for i := range awaitedPeers + 10 {
		id := idOf(newKey(100 + i))
		c.set(id, true)
		for range 2 * awaitedDatagrams {
			if _, err := s.WriteTo([]byte("anybody?"), kith.Address{Host: id.String(), Port: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ds := a.datagrams
	ds.mu.Lock()
	peers, kept := len(ds.awaited), 0
	for _, w := range ds.awaited {
		kept += len(w.waiting)
	}
	ds.mu.Unlock()
	if peers > awaitedPeers || kept > awaitedPeers*awaitedDatagrams {
		t.Errorf("%d datagrams wait for %d peers", kept, peers)
	}
	waitFor(t, "nobody to be awaited", func() bool {
		ds.mu.Lock()
		defer ds.mu.Unlock()
		return len(ds.awaited) == 0
	})
}

// TestPacketsLevel: no datagram passes before both sides know what the other
// did of the roster.
func TestPacketsLevel(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		differ := func(digest byte) func(*Config) {
			return func(c *Config) {
				c.Digest = func() [32]byte { return [32]byte{digest} }
				c.SyncPort = 1
			}
		}
		a, b := c.member(t, 1, only(carrier), differ(1)), c.member(t, 2, only(carrier), differ(2))
		s, far := packets(t, a, 0), packets(t, b, 0)
		if err := a.Connect(t.Context(), b.id); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			s.WriteTo([]byte{byte(i)}, far.LocalAddr())
		}
		a.Level(b.id)
		far.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, _, err := far.ReadFrom(make([]byte, 64)); err == nil {
			t.Errorf("%d bytes passed", n)
		}
		waitFor(t, "the acceptor's link", func() bool { return len(b.Peers()) == 1 })
		b.Level(a.id)
		far.SetReadDeadline(time.Now().Add(patience))
		buffer := make([]byte, 64)
		if _, _, err := far.ReadFrom(buffer); err != nil || buffer[0] != 0 {
			t.Errorf("the first datagram: %d, %v", buffer[0], err)
		}
	}
}

// TestSmallDatagram: what is promised to travel as one packet does, also while
// the path's size is not known yet; longer ones take the stream.
func TestSmallDatagram(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1, only(carrierQUIC)), c.member(t, 2, only(carrierQUIC))
	s, far := packets(t, a, 0), packets(t, b, 0)
	streamed := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for l := range b.links {
			if l.datagrams.receiving.Load() {
				return true
			}
		}
		return false
	}
	for range 10 {
		sendUntil(t, s, far, strings.Repeat("s", kith.SmallDatagram))
	}
	if streamed() {
		t.Error("small datagrams take the stream")
	}
	sendUntil(t, s, far, strings.Repeat("l", kith.MaxDatagram))
	if !streamed() {
		t.Error("the longest one takes no stream")
	}
}

func TestPacketsStopped(t *testing.T) {
	c := newClub()
	o := New(Config{Key: newKey(1), Admit: c.admit})
	stop := serve(t, o)
	s := packets(t, o, 0)
	stop()
	result := make(chan error, 1)
	go func() {
		_, _, err := s.ReadFrom(make([]byte, 1))
		result <- err
	}()
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v, want net.ErrClosed", err)
	}
	if _, err := o.ListenPacket(t.Context(), kith.Address{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen: %v, want net.ErrClosed", err)
	}
}

func TestInbox(t *testing.T) {
	from := func(peer byte, size int) received {
		return received{payload: make([]byte, size), from: kith.Sender{Peer: kith.Peer{ID: kith.ID{peer}}}}
	}
	b := newInbox()
	for range 1000 { // greedy
		b.put(from(1, kith.MaxDatagram))
	}
	for range 10 {
		for peer := byte(2); peer < 5; peer++ {
			if d := b.put(from(peer, 1000)); d.itself {
				t.Fatalf("peer %d is crowded out", peer)
			}
		}
	}
	if b.bytes > inboxBytes {
		t.Errorf("%d bytes", b.bytes)
	}
	var turns []byte
	for {
		r, ok := b.take()
		if !ok {
			break
		}
		turns = append(turns, r.from.ID[0])
	}
	if !bytes.HasPrefix(turns, []byte{1, 2, 3, 4, 1, 2, 3, 4}) || bytes.Count(turns, []byte{4}) != 10 {
		t.Errorf("turns: %v", turns)
	}
	if b.bytes != 0 || len(b.peers) != 0 || len(b.turns) != 0 {
		t.Errorf("left: %+v", b)
	}
	for peer := range 200 { // each with one: nobody loses his only one
		b.put(from(byte(peer), kith.MaxDatagram))
	}
	for range len(b.turns) {
		b.take()
	}
	if b.bytes != 0 {
		t.Errorf("left: %+v", b)
	}
}

func TestOutbox(t *testing.T) {
	var b outbox
	for i := range 1000 {
		start, _ := b.put([]byte(fmt.Sprintf("%1000d", i)))
		if start != (i == 0) {
			t.Fatalf("start at %d", i)
		}
	}
	if b.bytes > outboxBytes {
		t.Errorf("%d bytes", b.bytes)
	}
	last := ""
	for _, enough := range []int{0, 1, 3000} {
		if n, want := len(b.take(enough)), max(1, enough/1000); n != want {
			t.Errorf("%d datagrams of 1000 bytes for %d", n, enough)
		}
		if !b.sending {
			t.Fatal("the outbox is not empty, and nobody empties it")
		}
	}
	for oldest := b.take(5000); len(oldest) > 0; oldest = b.take(5000) {
		last = string(bytes.TrimSpace(oldest[len(oldest)-1]))
	}
	if last != "999" || b.bytes != 0 || b.sending {
		t.Errorf("last is %s, %d bytes are left", last, b.bytes)
	}
}

func FuzzDatagram(f *testing.F) {
	f.Add(datagram{program: true, source: 1, destination: 65535, payload: []byte("hello")}.append(nil))
	f.Add([]byte{0x10, 0, 1, 0, 0})
	f.Add([]byte{0x20, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDatagram(b)
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseDatagram(d.append(nil))
		if err != nil || again.program != d.program || again.source != d.source || again.destination != d.destination || !bytes.Equal(again.payload, d.payload) {
			t.Errorf("%+v was said again as %+v, %v", d, again, err)
		}
	})
}

// FuzzDatagramStream has a peer say anything on its datagram stream.
func FuzzDatagramStream(f *testing.F) {
	d := datagram{source: 1, destination: 7, payload: []byte("hello")}.append(nil)
	f.Add(append([]byte{0, byte(len(d))}, d...))
	f.Add([]byte{0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := New(Config{Key: newKey(1), Admit: newClub().admit})
		s, err := o.ListenPacket(t.Context(), kith.Address{Port: 7})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		l := &link{overlay: o, peer: kith.ID{2}, carrier: endless{}, level: make(chan struct{})}
		close(l.level)
		l.hearDatagrams(&scripted{Reader: bytes.NewReader(b)})
		if l.datagrams.receiving.Load() {
			t.Error("it still receives")
		}
	})
}

// endless is a carrier that does not end.
type endless struct{ carrier }

func (endless) done() <-chan struct{} { return nil }

// scripted is a stream on which the peer says what is given.
type scripted struct {
	stream
	*bytes.Reader
}

func (s *scripted) Read(p []byte) (int, error) { return s.Reader.Read(p) }
func (s *scripted) reset()                     {}

// BenchmarkDatagrams sends datagrams in bursts of 16, each of which is read
// before the next, and reports those that were lost.
func BenchmarkDatagrams(b *testing.B) {
	for _, carrier := range bothCarriers {
		for _, size := range []int{100, kith.SmallDatagram, kith.MaxDatagram} {
			b.Run(fmt.Sprintf("%s/%d", carrier, size), func(b *testing.B) {
				c := newClub()
				near, far := packets(b, c.member(b, 1, only(carrier)), 0), packets(b, c.member(b, 2, only(carrier)), 0)
				sendUntil(b, near, far, "ready")
				datagram, buffer := make([]byte, size), make([]byte, kith.MaxDatagram)
				b.SetBytes(16 * int64(size))
				lost := 0
				for b.Loop() {
					for range 16 {
						near.WriteTo(datagram, far.LocalAddr())
					}
					for got := 0; got < 16; got++ {
						far.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
						if _, _, err := far.ReadFrom(buffer); err != nil {
							lost += 16 - got
							break
						}
					}
				}
				b.ReportMetric(float64(lost)/float64(16*b.N), "lost/datagram")
			})
		}
	}
}
