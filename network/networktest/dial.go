package networktest

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
)

// testDialRefused checks that a port nobody listens on is refused at once.
func testDialRefused(t *testing.T, p Pair) {
	l := p.listen(t)
	vacant := p.Reach(l.Addr())
	l.Close()
	for _, dialer := range []kith.Network{p.Dialer, p.Listener} {
		err := within(t, "refused dial", func() error {
			conn, err := dialer.Dial(t.Context(), vacant)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if !errors.Is(err, kith.Refused) {
			t.Errorf("dial %s: %v, want kind %q", vacant, err, kith.Refused)
		}
	}
}

func testDialCancelledBefore(t *testing.T, p Pair) {
	l := p.listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Dialer.Dial(ctx, p.Reach(l.Addr())); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a cancelled context: %v, want context.Canceled", err)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if _, err := p.Dialer.Dial(ctx, p.Reach(l.Addr())); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial with an expired context: %v, want context.DeadlineExceeded", err)
	}
}

// testDialCancelledAnyTime cancels dials at many moments: each ends with the
// context's error or a connection that works.
func testDialCancelledAnyTime(t *testing.T, p Pair) {
	l := p.listen(t)
	var served sync.WaitGroup
	served.Go(func() { echo(l, &served) })
	for i := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i*i)*time.Microsecond/2, cancel)
		err := within(t, "cancelled dial", func() error {
			conn, err := p.Dialer.Dial(ctx, p.Reach(l.Addr()))
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.Write([]byte("x")); err != nil {
				return err
			}
			_, err = io.ReadFull(conn, make([]byte, 1))
			return err
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled dial: %v, want context.Canceled or a connection that works", err)
		}
		timer.Stop()
		cancel()
	}
	l.Close()
	within(t, "connections of cancelled dials", func() error { served.Wait(); return nil })
}

// testDialCancelledWhileSilent cancels a dial that would last.
func testDialCancelledWhileSilent(t *testing.T, p Pair) {
	if p.Silent == nil {
		return // the network has no such address
	}
	address := p.Silent(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := within(t, "dial", func() error {
		_, err := p.Dialer.Dial(ctx, address)
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial: %v, want context.DeadlineExceeded", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	err = within(t, "dial", func() error {
		_, err := p.Dialer.Dial(ctx, address)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("dial: %v, want context.Canceled", err)
	}
}

// testContextEndsAfterwards checks that the contexts of Dial and Listen cover
// the calls only.
func testContextEndsAfterwards(t *testing.T, p Pair) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := p.Listener.Listen(ctx, p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cancel()

	ctx, cancel = context.WithCancel(t.Context())
	dialed, err := p.Dialer.Dial(ctx, p.Reach(l.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	cancel()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	exchange(t, dialed, accepted)
}

// testDialSelf has the listening end dial its own listener.
func testDialSelf(t *testing.T, p Pair) {
	dialed, accepted := p.meet(t, p.listen(t), p.Listener)
	exchange(t, dialed, accepted)
	closeWrite(t, dialed)
	expectEOF(t, accepted)
	if p.ListenerID.IsZero() {
		return
	}
	for _, conn := range []net.Conn{dialed, accepted} {
		if peer, ok := kith.PeerOf(conn); !ok || peer.ID != p.ListenerID {
			t.Errorf("peer %s, %t; want the host itself", peer.ID.Short(), ok)
		}
	}
}

// testPortZero checks that port 0 takes a free one, a different one each time.
func testPortZero(t *testing.T, p Pair) {
	if address := p.Address(); kith.IsPath(address.Host) || address.Port != 0 {
		return // the network has paths, or ports of its own
	}
	seen := make(map[string]bool)
	for range 10 {
		l := p.listen(t)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if n, _ := strconv.Atoi(port); err != nil || n == 0 || seen[port] {
			t.Fatalf("listener's address is %s; want a port that is not 0 nor %v", l.Addr(), seen)
		}
		seen[port] = true
	}
}

// testPortTaken checks that a port has one listener, and is free once that is
// closed.
func testPortTaken(t *testing.T, p Pair) {
	l := p.listen(t)
	taken, err := kith.ParseAddress(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if second, err := p.Listener.Listen(t.Context(), taken); !errors.Is(err, kith.InUse) {
		if err == nil {
			second.Close()
		}
		t.Fatalf("listen on a port that is taken: %v, want kind %q", err, kith.InUse)
	}
	var served sync.WaitGroup
	served.Go(func() { echo(l, &served) })
	expectEcho(t, p.dial(t, l)) // the attempt did it no harm
	l.Close()
	again, err := p.Listener.Listen(t.Context(), taken)
	if err != nil {
		t.Fatalf("listen on a port that was given back: %v", err)
	}
	served.Go(func() { echo(again, &served) })
	expectEcho(t, p.dial(t, again))
	again.Close()
	within(t, "echo servers", func() error { served.Wait(); return nil })
}

// echo serves l until it is closed: each connection gets back what it sends.
func echo(l net.Listener, served *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		served.Go(func() {
			io.Copy(conn, conn)
			conn.Close()
		})
	}
}

// expectEcho sends a few bytes, reads them back and closes conn.
func expectEcho(t *testing.T, conn net.Conn) {
	t.Helper()
	want := []byte("a few bytes")
	if _, err := conn.Write(want); err != nil {
		t.Fatalf("write: %v", err)
	}
	expect(t, conn, want)
	conn.Close()
}

func testListenerCloseWakesAccept(t *testing.T, p Pair) {
	l := p.listen(t)
	const waiting = 3
	woken := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := l.Accept()
			woken <- err
		}()
	}
	runtime.Gosched()
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for range waiting {
		if err := soon(t, "Accept of a closed listener", woken); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v, want net.ErrClosed", err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after Close: %v, want net.ErrClosed", err)
	}
	within(t, "second Close", l.Close)
}

func testListenerCloseKeepsAccepted(t *testing.T, p Pair) {
	l := p.listen(t)
	dialed, accepted := p.meet(t, l, p.Dialer)
	l.Close()
	for range 10 {
		exchange(t, dialed, accepted)
	}
}

// testListenerCloseEndsUnaccepted checks that a dialer whose connection was
// never accepted learns of it.
func testListenerCloseEndsUnaccepted(t *testing.T, p Pair) {
	l := p.listen(t)
	conn := p.dial(t, l)
	l.Close()
	err := within(t, "read of a connection that is not accepted", func() error {
		_, err := conn.Read(make([]byte, 1))
		return err
	})
	if err == nil {
		t.Error("read: no error")
	}
}

func testAddresses(t *testing.T, p Pair) {
	l := p.listen(t)
	dialed, accepted := p.meet(t, l, p.Dialer)
	for range 2 { // open, then closed
		for _, a := range []net.Addr{l.Addr(), dialed.LocalAddr(), dialed.RemoteAddr(), accepted.LocalAddr(), accepted.RemoteAddr()} {
			if a == nil || a.Network() == "" {
				t.Errorf("address %v has no network", a)
			}
		}
		if dialed.RemoteAddr().String() == "" || accepted.LocalAddr().String() == "" {
			t.Errorf("dialed's peer %q, accepted's own address %q", dialed.RemoteAddr(), accepted.LocalAddr())
		}
		dialed.Close()
		accepted.Close()
	}
}

// testIdentity checks who the network says is at the far end.
func testIdentity(t *testing.T, p Pair) {
	dialed, accepted := p.connect(t)
	for _, c := range []struct {
		name string
		conn net.Conn
		want kith.ID
	}{
		{"peer of the dialed end", dialed, p.ListenerID},
		{"peer of the accepted end", accepted, p.DialerID},
	} {
		peer, ok := kith.PeerOf(c.conn)
		if ok != !c.want.IsZero() || peer.ID != c.want {
			t.Errorf("%s: %s, %t; want %s", c.name, peer.ID, ok, c.want)
		}
	}
}

// testManyConnections holds many connections open at once, has each exchange
// data, and checks that nothing of them is left.
func testManyConnections(t *testing.T, p Pair) {
	const dialingAtOnce = 64
	l := p.listen(t)
	exchange(t, p.dial(t, l), accept(t, l)) // what the network keeps once is there
	before := runtime.NumGoroutine()

	var served sync.WaitGroup
	served.Go(func() {
		for range p.Conns {
			conn, err := l.Accept()
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			served.Go(func() {
				defer conn.Close()
				if _, err := io.Copy(conn, conn); err != nil {
					t.Errorf("serve: %v", err)
				}
			})
		}
	})
	var dialed, done sync.WaitGroup
	limit := make(chan struct{}, dialingAtOnce)
	dialed.Add(p.Conns)
	for i := range p.Conns {
		done.Go(func() {
			limit <- struct{}{}
			conn, err := p.Dialer.Dial(t.Context(), p.Reach(l.Addr()))
			<-limit
			dialed.Done()
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			defer conn.Close()
			dialed.Wait() // all are open
			want := randomBytes(uint64(i), 1000)
			if _, err := conn.Write(want); err != nil {
				t.Errorf("write: %v", err)
			}
			if err := kith.CloseWrite(conn); err != nil {
				t.Errorf("close for writing: %v", err)
			}
			if got, err := io.ReadAll(conn); err != nil || string(got) != string(want) {
				t.Errorf("read %d bytes back, error %v", len(got), err)
			}
		})
	}
	done.Wait()
	if t.Failed() {
		l.Close()
	}
	served.Wait()
	waitGoroutines(t, before+dialingAtOnce)
}

// accept takes a connection that is closed when the test ends.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
