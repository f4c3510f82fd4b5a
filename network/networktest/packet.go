package networktest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
)

// A PacketPair is two ends of a network of datagrams. They are the same one
// where both are one node.
type PacketPair struct {
	Near, Far kith.PacketNetwork

	// NearPeer and FarPeer are who the network says the senders are.
	NearPeer, FarPeer kith.Peer
}

// RunPacket checks the networks that newPair makes as [Run] does.
func RunPacket(t *testing.T, newPair func(t *testing.T) PacketPair) {
	before := runtime.NumGoroutine()
	for _, c := range []struct {
		name string
		test func(*testing.T, PacketPair)
	}{
		{"Exchange", testPacketExchange},
		{"Sizes", testPacketSizes},
		{"TooLong", testPacketTooLong},
		{"ShortBuffer", testPacketShortBuffer},
		{"NotTwice", testPacketNotTwice},
		{"Concurrently", testPacketConcurrently},
		{"Flood", testPacketFlood},
		{"NobodyListens", testPacketNobodyListens},
		{"WrongAddresses", testPacketWrongAddresses},
		{"Connected", testPacketConnected},
		{"Self", testPacketSelf},
		{"PortZero", testPacketPortZero},
		{"PortTaken", testPacketPortTaken},
		{"PortsOfTheirOwn", testPacketPortsOfTheirOwn},
		{"Deadlines", testPacketDeadlines},
		{"DeadlineWakes", testPacketDeadlineWakes},
		{"CloseWakes", testPacketCloseWakes},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newPair(t)) })
	}
	waitGoroutines(t, before)
}

// listenPacket opens a packet socket that is closed when the test ends.
func listenPacket(t *testing.T, n kith.PacketNetwork, address kith.Address) net.PacketConn {
	t.Helper()
	s, err := n.ListenPacket(t.Context(), address)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (p PacketPair) sockets(t *testing.T) (near, far net.PacketConn) {
	t.Helper()
	return listenPacket(t, p.Near, kith.Address{}), listenPacket(t, p.Far, kith.Address{})
}

// addressOf returns the address of a socket as another writes to it.
func addressOf(t *testing.T, s net.PacketConn) kith.Address {
	t.Helper()
	address, err := kith.ParseAddress(s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// send sends a datagram, again and again if need be, until it arrives, and
// returns the sender that its receiver saw. Others that arrive are dropped.
func send(t *testing.T, from net.PacketConn, to net.Addr, receiver net.PacketConn, datagram []byte) net.Addr {
	t.Helper()
	defer receiver.SetReadDeadline(time.Time{})
	buffer := make([]byte, kith.MaxDatagram+1)
	for start := time.Now(); time.Since(start) < patience; {
		if n, err := from.WriteTo(datagram, to); n != len(datagram) || err != nil {
			t.Fatalf("write a datagram of %d bytes: %d, %v", len(datagram), n, err)
		}
		receiver.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, sender, err := receiver.ReadFrom(buffer)
			if isTimeout(err) {
				break
			}
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if bytes.Equal(buffer[:n], datagram) {
				return sender
			}
		}
	}
	t.Fatalf("a datagram of %d bytes does not arrive", len(datagram))
	return nil
}

func testPacketExchange(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	for i := range 3 {
		sender := send(t, near, addressOf(t, far), far, fmt.Appendf(nil, "question %d", i))
		want := kith.Sender{Address: addressOf(t, near), Peer: p.NearPeer}
		if sender != want {
			t.Fatalf("sender is %#v, want %#v", sender, want)
		}
		answerer := send(t, far, sender, near, fmt.Appendf(nil, "answer %d", i))
		want = kith.Sender{Address: addressOf(t, far), Peer: p.FarPeer}
		if answerer != want {
			t.Fatalf("sender is %#v, want %#v", answerer, want)
		}
	}
}

// testPacketSizes sends datagrams of all kinds of sizes, which arrive whole.
func testPacketSizes(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	sizes := []int{0, 1, 2, 512, kith.SmallDatagram, kith.MaxDatagram - 1, kith.MaxDatagram}
	for size := kith.SmallDatagram; size < 1500; size += 7 { // where packets end
		sizes = append(sizes, size)
	}
	for _, size := range sizes {
		send(t, near, addressOf(t, far), far, randomBytes(uint64(size), size))
	}
}

func testPacketTooLong(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	if n, err := near.WriteTo(make([]byte, kith.MaxDatagram+1), addressOf(t, far)); n != 0 || !errors.Is(err, kith.Invalid) {
		t.Errorf("write: %d, %v; want kind %q", n, err, kith.Invalid)
	}
	send(t, near, addressOf(t, far), far, []byte("after"))
}

// testPacketShortBuffer checks that the rest of a datagram is not read as the
// next one.
func testPacketShortBuffer(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	send(t, near, addressOf(t, far), far, []byte("first"))
	far.SetReadDeadline(time.Now().Add(patience))
	if _, err := near.WriteTo([]byte("abcdef"), addressOf(t, far)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 3)
	for string(buffer) != "abc" { // datagrams of before may be on the way
		if _, _, err := far.ReadFrom(buffer); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := near.WriteTo([]byte("xyz"), addressOf(t, far)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := far.ReadFrom(buffer); err != nil || string(buffer[:n]) != "xyz" {
		t.Errorf("after a datagram that was cut: %q, %v", buffer[:n], err)
	}
}

// testPacketNotTwice checks that datagrams are not duplicated.
func testPacketNotTwice(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	send(t, near, addressOf(t, far), far, []byte("ready"))
	const count = 2000
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for i := range count {
			near.WriteTo(fmt.Appendf(nil, "%d", i), addressOf(t, far))
			if i%50 == 0 {
				<-time.After(time.Millisecond) // a pace at which most arrive
			}
		}
	})
	seen := make(map[string]bool)
	buffer := make([]byte, 64)
	for {
		far.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, _, err := far.ReadFrom(buffer)
		if isTimeout(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text := string(buffer[:n])
		if seen[text] && text != "ready" {
			t.Errorf("datagram %s came twice", text)
		}
		seen[text] = true
	}
	if len(seen) < count/2 {
		t.Errorf("%d of %d datagrams arrived", len(seen), count)
	}
}

func testPacketConcurrently(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	const writers, each = 8, 100
	received := make(chan string, writers*each)
	var reading, writing sync.WaitGroup
	for range 3 {
		reading.Go(func() {
			buffer := make([]byte, kith.MaxDatagram)
			for {
				n, _, err := far.ReadFrom(buffer)
				if err != nil {
					return
				}
				select {
				case received <- string(buffer[:n]):
				default:
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				near.WriteTo(bytes.Repeat([]byte{byte(w)}, 1+i*w), addressOf(t, far))
			}
		})
	}
	writing.Wait()
	select {
	case <-received:
	case <-time.After(patience):
		t.Error("nothing arrives")
	}
	far.Close()
	reading.Wait()
	close(received)
	for text := range received {
		if len(bytes.Trim([]byte(text), text[:1])) > 0 {
			t.Errorf("a datagram is mixed from several")
		}
	}
}

// testPacketFlood has nobody read: writing goes on, memory does not grow, and
// what is sent later arrives.
func testPacketFlood(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	send(t, near, addressOf(t, far), far, []byte("ready"))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for _, size := range []int{0, kith.SmallDatagram, kith.MaxDatagram} {
		datagram := make([]byte, size)
		err := within(t, "writing", func() error {
			for range 10_000 {
				if _, err := near.WriteTo(datagram, addressOf(t, far)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if after := heap(); after > before+32<<20 {
		t.Errorf("a flood that nobody reads holds %d MiB", (after-before)>>20)
	}
	send(t, near, addressOf(t, far), far, []byte("after the flood"))
}

func testPacketNobodyListens(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	gone := listenPacket(t, p.Far, kith.Address{})
	vacant := addressOf(t, gone)
	gone.Close()
	for range 10 {
		if _, err := near.WriteTo([]byte("anybody?"), vacant); err != nil {
			t.Fatalf("write to a port where nobody listens: %v", err)
		}
	}
	send(t, near, addressOf(t, far), far, []byte("still here"))
}

func testPacketWrongAddresses(t *testing.T, p PacketPair) {
	near, _ := p.sockets(t)
	if _, err := near.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}); !errors.Is(err, kith.Invalid) {
		t.Errorf("write to an IP address: %v, want kind %q", err, kith.Invalid)
	}
	if conn, err := p.Near.DialPacket(t.Context(), kith.Address{Host: addressOf(t, near).Host}); !errors.Is(err, kith.Invalid) {
		t.Errorf("dial port 0: %v, want kind %q", err, kith.Invalid)
		if err == nil {
			conn.Close()
		}
	}
}

// testPacketConnected checks that a connection has the datagrams of its peer
// only.
func testPacketConnected(t *testing.T, p PacketPair) {
	server, stranger := listenPacket(t, p.Far, kith.Address{}), listenPacket(t, p.Far, kith.Address{})
	conn, err := p.Near.DialPacket(t.Context(), addressOf(t, server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, want := conn.RemoteAddr(), addressOf(t, server); got != want {
		t.Errorf("remote address %s, want %s", got, want)
	}
	socket := conn.(net.PacketConn)
	client := send(t, socket, conn.RemoteAddr(), server, []byte("hello"))
	for range 10 {
		if _, err := stranger.WriteTo([]byte("not for you"), client); err != nil {
			t.Fatal(err)
		}
	}
	send(t, server, client, socket, []byte("hello, too"))
	if _, err := conn.Write([]byte("written")); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 64)
	server.SetReadDeadline(time.Now().Add(patience))
	for n := 0; string(buffer[:n]) != "written"; {
		if n, _, err = server.ReadFrom(buffer); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.WriteTo([]byte("read"), client); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	for n := 0; string(buffer[:n]) != "read"; {
		if n, err = conn.Read(buffer); err != nil || string(buffer[:n]) == "not for you" {
			t.Fatalf("read %q, %v", buffer[:n], err)
		}
	}
}

func testPacketSelf(t *testing.T, p PacketPair) {
	a, b := listenPacket(t, p.Far, kith.Address{}), listenPacket(t, p.Far, kith.Address{})
	sender := send(t, a, addressOf(t, b), b, []byte("to another socket"))
	if want := (kith.Sender{Address: addressOf(t, a), Peer: p.FarPeer}); sender != want {
		t.Errorf("sender is %#v, want %#v", sender, want)
	}
	send(t, a, addressOf(t, a), a, []byte("to itself"))
}

func testPacketPortZero(t *testing.T, p PacketPair) {
	seen := make(map[uint16]bool)
	for range 10 {
		port := addressOf(t, listenPacket(t, p.Far, kith.Address{})).Port
		if port == 0 || seen[port] {
			t.Fatalf("port %d; want one that is not 0 nor %v", port, seen)
		}
		seen[port] = true
	}
}

// testPacketPortTaken checks that a port has one socket, and is free once that
// is closed.
func testPacketPortTaken(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	taken := kith.Address{Port: addressOf(t, far).Port}
	if second, err := p.Far.ListenPacket(t.Context(), taken); !errors.Is(err, kith.InUse) {
		if err == nil {
			second.Close()
		}
		t.Fatalf("listen on a port that is taken: %v, want kind %q", err, kith.InUse)
	}
	send(t, near, addressOf(t, far), far, []byte("unharmed"))
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	again := listenPacket(t, p.Far, taken)
	send(t, near, addressOf(t, again), again, []byte("again"))
}

// testPacketPortsOfTheirOwn checks that listeners do not take the ports of
// datagrams.
func testPacketPortsOfTheirOwn(t *testing.T, p PacketPair) {
	streams, ok := p.Far.(kith.Network)
	if !ok {
		return
	}
	l, err := streams.Listen(t.Context(), kith.Address{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address, err := kith.ParseAddress(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	listenPacket(t, p.Far, kith.Address{Port: address.Port})
}

func testPacketDeadlines(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	buffer := make([]byte, 64)
	for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(20 * time.Millisecond)} {
		far.SetReadDeadline(deadline)
		err := within(t, "read with a deadline", func() error {
			_, _, err := far.ReadFrom(buffer)
			return err
		})
		if !isTimeout(err) {
			t.Fatalf("read: %v, want a timeout", err)
		}
	}
	near.SetWriteDeadline(time.Unix(1, 0))
	if _, err := near.WriteTo([]byte("late"), addressOf(t, far)); !isTimeout(err) {
		t.Errorf("write: %v, want a timeout", err)
	}
	near.SetDeadline(time.Time{})
	far.SetDeadline(time.Time{})
	send(t, near, addressOf(t, far), far, []byte("in time"))
}

// testPacketDeadlineWakes sets deadlines under a read that waits.
func testPacketDeadlineWakes(t *testing.T, p PacketPair) {
	_, far := p.sockets(t)
	result := make(chan error, 1)
	go func() {
		_, _, err := far.ReadFrom(make([]byte, 64))
		result <- err
	}()
	<-time.After(10 * time.Millisecond)
	far.SetReadDeadline(time.Now().Add(time.Hour))
	far.SetReadDeadline(time.Unix(1, 0))
	if err := soon(t, "read", result); !isTimeout(err) {
		t.Errorf("read: %v, want a timeout", err)
	}
}

func testPacketCloseWakes(t *testing.T, p PacketPair) {
	near, far := p.sockets(t)
	result := make(chan error, 1)
	go func() {
		_, _, err := far.ReadFrom(make([]byte, 64))
		result <- err
	}()
	<-time.After(10 * time.Millisecond)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "read", result); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v, want net.ErrClosed", err)
	}
	for what, err := range map[string]error{
		"read":         func() error { _, _, err := far.ReadFrom(make([]byte, 64)); return err }(),
		"write":        func() error { _, err := far.WriteTo(nil, addressOf(t, near)); return err }(),
		"set deadline": far.SetDeadline(time.Time{}),
		"close":        far.Close(),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v, want net.ErrClosed", what, err)
		}
	}
}
