package networktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"kith.alt/kith"
)

// patience is how long a test waits for what must happen. It is generous, as
// machines that run tests are slow at times.
const patience = 30 * time.Second

// A Pair is two ends of a network: one dials, the other listens. They are the
// same Network where both are one node.
type Pair struct {
	Dialer   kith.Network
	Listener kith.Network

	// Address returns where Listener listens next: an address with port 0,
	// or a path that is free.
	Address func() kith.Address

	// Reach turns the address of a listener into what Dialer, and Listener
	// itself, dial. Nil parses the address's text.
	Reach func(net.Addr) kith.Address

	// DialerID and ListenerID are the hosts that the network verifies. Zero
	// when it verifies nobody.
	DialerID, ListenerID kith.ID

	// Silent returns an address that neither accepts nor refuses, so that a
	// dial to it lasts. Nil when there is none.
	Silent func(t *testing.T) kith.Address

	Conns int   // connections open at once; 0 means 1,000
	Bytes int64 // of a large transfer, each way; 0 means 64 MiB
}

// Run checks the networks that newPair makes, one pair for each subtest.
// newPair releases what it opened by t.Cleanup. Run must not share its process
// with parallel tests, as it counts goroutines.
func Run(t *testing.T, newPair func(t *testing.T) Pair) {
	before := runtime.NumGoroutine()
	for _, c := range []struct {
		name string
		test func(*testing.T, Pair)
	}{
		{"Conn", testConn},
		{"ServerSpeaksFirst", testServerSpeaksFirst},
		{"HalfClose", testHalfClose},
		{"CloseDeliversData", testCloseDeliversData},
		{"CloseEndsPeer", testCloseEndsPeer},
		{"CloseWakes", testCloseWakes},
		{"CloseConcurrently", testCloseConcurrently},
		{"DeadlinePassesAndClears", testDeadlinePassesAndClears},
		{"WriteDeadlineLosesNothing", testWriteDeadlineLosesNothing},
		{"SmallWrites", testSmallWrites},
		{"ConcurrentWrites", testConcurrentWrites},
		{"LargeTransfer", testLargeTransfer},
		{"DialRefused", testDialRefused},
		{"DialCancelledBefore", testDialCancelledBefore},
		{"DialCancelledAnyTime", testDialCancelledAnyTime},
		{"DialCancelledWhileSilent", testDialCancelledWhileSilent},
		{"ContextEndsAfterwards", testContextEndsAfterwards},
		{"DialSelf", testDialSelf},
		{"PortZero", testPortZero},
		{"PortTaken", testPortTaken},
		{"ListenerCloseWakesAccept", testListenerCloseWakesAccept},
		{"ListenerCloseKeepsAccepted", testListenerCloseKeepsAccepted},
		{"ListenerCloseEndsUnaccepted", testListenerCloseEndsUnaccepted},
		{"Addresses", testAddresses},
		{"Identity", testIdentity},
		{"ManyConnections", testManyConnections},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t)
			if p.Reach == nil {
				p.Reach = func(a net.Addr) kith.Address {
					address, err := kith.ParseAddress(a.String())
					if err != nil {
						t.Fatalf("address of the listener: %v", err)
					}
					return address
				}
			}
			if p.Conns == 0 {
				p.Conns = 1000
			}
			if p.Bytes == 0 {
				p.Bytes = 64 << 20
			}
			c.test(t, p)
		})
	}
	waitGoroutines(t, before)
}

// waitGoroutines waits until no more than want goroutines run.
func waitGoroutines(t *testing.T, want int) {
	t.Helper()
	for start := time.Now(); runtime.NumGoroutine() > want; {
		if time.Since(start) > patience {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines run, want %d:\n%s", runtime.NumGoroutine(), want, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
		<-time.After(time.Millisecond)
	}
}

// listen opens a listener that is closed when the test ends.
func (p Pair) listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := p.Listener.Listen(t.Context(), p.Address())
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dial opens a connection to l that is closed when the test ends.
func (p Pair) dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := p.Dialer.Dial(ctx, p.Reach(l.Addr()))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// connect opens a connection and returns both its ends.
func (p Pair) connect(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	l := p.listen(t)
	dialed, accepted = p.meet(t, l, p.Dialer)
	l.Close()
	return dialed, accepted
}

// meet has dialer dial l and returns both ends.
func (p Pair) meet(t *testing.T, l net.Listener, dialer kith.Network) (dialed, accepted net.Conn) {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	accept := make(chan result, 1)
	go func() {
		conn, err := l.Accept()
		accept <- result{conn, err}
	}()
	p.Dialer = dialer
	dialed = p.dial(t, l)
	select {
	case r := <-accept:
		if r.err != nil {
			t.Fatalf("accept: %v", r.err)
		}
		t.Cleanup(func() { r.conn.Close() })
		return dialed, r.conn
	case <-time.After(patience):
		t.Fatal("dial returned, but accept did not")
		return nil, nil
	}
}

// exchange sends a few bytes each way and checks that they arrive.
func exchange(t *testing.T, a, b net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		want := []byte("a few bytes")
		if _, err := way[0].Write(want); err != nil {
			t.Fatalf("write: %v", err)
		}
		expect(t, way[1], want)
	}
}

// expect reads want from conn.
func expect(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("read: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %.40q, want %.40q", got, want)
	}
}

// expectEOF checks that conn has nothing more to read.
func expectEOF(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read: %d bytes, error %v; want EOF", n, err)
	}
}

// closeWrite ends the writing direction of conn.
func closeWrite(t *testing.T, conn net.Conn) {
	t.Helper()
	c, ok := conn.(kith.HalfCloser)
	if !ok {
		t.Fatalf("%T does not offer CloseWrite", conn)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatalf("close for writing: %v", err)
	}
}

// soon returns the error that result brings within patience.
func soon(t *testing.T, what string, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		t.Fatalf("%s does not return", what)
		return nil
	}
}

// within runs f, which must return within patience.
func within(t *testing.T, what string, f func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- f() }()
	return soon(t, what, result)
}

// isTimeout reports whether err is what an expired deadline gives.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
