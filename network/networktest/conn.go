package networktest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// testConn checks the rules of net.Conn with the suite that the Go project
// keeps for them.
func testConn(t *testing.T, p Pair) {
	l := p.listen(t)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		dialed, accepted := p.meet(t, l, p.Dialer)
		return dialed, accepted, func() {
			dialed.Close()
			accepted.Close()
		}, nil
	})
}

func testServerSpeaksFirst(t *testing.T, p Pair) {
	dialed, accepted := p.connect(t)
	greeting := []byte("220 ready\r\n")
	if _, err := accepted.Write(greeting); err != nil {
		t.Fatal(err)
	}
	expect(t, dialed, greeting)
	exchange(t, dialed, accepted)
}

func testHalfClose(t *testing.T, p Pair) {
	for _, dialerFirst := range []bool{true, false} {
		a, b := p.connect(t)
		if !dialerFirst {
			a, b = b, a
		}
		question, answer := []byte("question"), bytes.Repeat([]byte("answer"), 100_000)
		if _, err := a.Write(question); err != nil {
			t.Fatal(err)
		}
		closeWrite(t, a)
		if _, err := a.Write(question); err == nil {
			t.Error("write after CloseWrite: no error")
		}
		expect(t, b, question)
		expectEOF(t, b)
		expectEOF(t, b) // and again

		written := make(chan error, 1)
		go func() {
			_, err := b.Write(answer)
			written <- err
		}()
		expect(t, a, answer)
		if err := soon(t, "write to a half-closed connection", written); err != nil {
			t.Fatal(err)
		}
		closeWrite(t, b)
		expectEOF(t, a)
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	}
}

// testCloseDeliversData checks that what was written before Close arrives, and
// EOF only after it.
func testCloseDeliversData(t *testing.T, p Pair) {
	l := p.listen(t)
	for i := range 50 {
		a, b := p.meet(t, l, p.Dialer)
		if i%2 == 1 {
			a, b = b, a
		}
		data := randomBytes(uint64(i), 1+i*4000)
		go func() {
			a.Write(data)
			a.Close()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d bytes, error %v; want the %d that were written", len(got), err, len(data))
		}
		b.Close()
	}
}

// testCloseEndsPeer checks that writing to a peer that is gone fails at last.
func testCloseEndsPeer(t *testing.T, p Pair) {
	for _, dialerLeaves := range []bool{true, false} {
		a, b := p.connect(t)
		if !dialerLeaves {
			a, b = b, a
		}
		a.Close()
		expectEOF(t, b)
		if err := b.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		for {
			_, err := b.Write(make([]byte, 1024))
			if isTimeout(err) {
				t.Fatal("writes to a closed peer block")
			}
			if err != nil {
				break
			}
		}
	}
}

// testCloseWakes checks that Close ends the Read and the Write that wait.
func testCloseWakes(t *testing.T, p Pair) {
	for _, wake := range []string{"dialed", "accepted"} {
		conn, _ := p.connect(t)
		if wake == "accepted" {
			_, conn = p.connect(t)
		}
		read, written := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			read <- err
		}()
		busy := make(chan struct{})
		go func() {
			block := make([]byte, 1<<20)
			for i := 0; ; i++ {
				if _, err := conn.Write(block); err != nil {
					written <- err
					return
				}
				if i == 0 {
					close(busy)
				}
			}
		}()
		select { // wait until Write waits, or nearly so
		case <-busy:
		case <-time.After(50 * time.Millisecond):
		}
		conn.Close()
		if err := soon(t, "Read of a closed connection", read); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: read: %v, want net.ErrClosed", wake, err)
		}
		if err := soon(t, "Write of a closed connection", written); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: write: %v, want net.ErrClosed", wake, err)
		}
	}
}

func testCloseConcurrently(t *testing.T, p Pair) {
	l := p.listen(t)
	for range 20 {
		a, b := p.meet(t, l, p.Dialer)
		var wg sync.WaitGroup
		for range 4 {
			for _, conn := range []net.Conn{a, b} {
				wg.Go(func() { conn.Close() })
				wg.Go(func() { conn.Read(make([]byte, 1)) })
				wg.Go(func() { conn.Write(make([]byte, 1)) })
			}
		}
		if err := within(t, "concurrent Close", func() error { wg.Wait(); return nil }); err != nil {
			t.Fatal(err)
		}
		for _, conn := range []net.Conn{a, b} {
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read after Close: %v, want net.ErrClosed", err)
			}
		}
	}
}

// testDeadlinePassesAndClears checks each kind of deadline, and that the
// connection is as good as before once it is cleared.
func testDeadlinePassesAndClears(t *testing.T, p Pair) {
	a, b := p.connect(t)
	for range 2 {
		for _, c := range []struct {
			name string
			set  func(time.Time) error
			read bool
		}{
			{"SetReadDeadline", a.SetReadDeadline, true},
			{"SetDeadline", a.SetDeadline, true},
			{"SetWriteDeadline", a.SetWriteDeadline, false},
		} {
			for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(20 * time.Millisecond)} {
				if err := c.set(deadline); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if c.read {
					err := within(t, c.name, func() error {
						_, err := a.Read(make([]byte, 1))
						return err
					})
					if !isTimeout(err) || !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("%s: read: %v, want os.ErrDeadlineExceeded", c.name, err)
					}
				} else if deadline.Before(time.Now()) {
					if n, err := a.Write(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("%s: write: %d bytes, error %v, want os.ErrDeadlineExceeded", c.name, n, err)
					}
				}
				if err := c.set(time.Time{}); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				exchange(t, a, b)
			}
		}
		// A deadline that is set while Read waits ends it.
		read := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			read <- err
		}()
		a.SetReadDeadline(time.Now())
		if err := soon(t, "Read with a new deadline", read); !isTimeout(err) {
			t.Fatalf("read: %v, want a timeout", err)
		}
		a.SetReadDeadline(time.Time{})
		exchange(t, a, b)
		a, b = b, a
	}
}

// testWriteDeadlineLosesNothing fills the connection until a write deadline
// passes, and checks that Write counted exactly what the peer then reads. It
// also finds buffers without a bound.
func testWriteDeadlineLosesNothing(t *testing.T, p Pair) {
	const most = 512 << 20
	a, b := p.connect(t)
	data := randomBytes(1, 1<<20)
	sent := sha256.New()
	a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	total := 0
	for {
		n, err := a.Write(data)
		sent.Write(data[:n])
		total += n
		if isTimeout(err) {
			break
		}
		if err != nil {
			t.Fatalf("write: %v", err)
		}
		if total > most {
			t.Fatalf("wrote %d MiB to a peer that does not read", total>>20)
		}
	}
	a.SetWriteDeadline(time.Time{})
	rest := make(chan error, 1)
	go func() {
		_, err := a.Write(data)
		closeWrite(t, a)
		rest <- err
	}()
	sent.Write(data)
	got := sha256.New()
	n, err := io.Copy(got, b)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if err := soon(t, "write after the deadline", rest); err != nil {
		t.Fatal(err)
	}
	if n != int64(total+len(data)) || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Fatalf("peer read %d bytes, want the %d that Write counted, unchanged", n, total+len(data))
	}
}

func testSmallWrites(t *testing.T, p Pair) {
	a, b := p.connect(t)
	data := randomBytes(2, 200_000)
	written := make(chan error, 1)
	go func() {
		for rest := data; len(rest) > 0; {
			n, err := a.Write(rest[:min(len(rest), 1+len(rest)%23)])
			if err != nil {
				written <- err
				return
			}
			rest = rest[n:]
		}
		closeWrite(t, a)
		written <- nil
	}()
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read %d bytes, error %v; want the %d that were written in order", len(got), err, len(data))
	}
	if err := soon(t, "small writes", written); err != nil {
		t.Fatal(err)
	}

	a, b = p.connect(t)
	for range 500 {
		exchange(t, a, b)
	}
	if n, err := a.Write(nil); n != 0 || err != nil {
		t.Errorf("write of nothing: %d, %v", n, err)
	}
	if n, err := a.Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: %d, %v", n, err)
	}
}

// testConcurrentWrites checks that writes from several goroutines do not mix.
func testConcurrentWrites(t *testing.T, p Pair) {
	const writers, writes, size = 8, 50, 5000
	a, b := p.connect(t)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			block := bytes.Repeat([]byte{byte(i)}, size)
			for range writes {
				if _, err := a.Write(block); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	count := make([]int, writers)
	block := make([]byte, size)
	for range writers * writes {
		if _, err := io.ReadFull(b, block); err != nil {
			t.Fatalf("read: %v", err)
		}
		if int(block[0]) >= writers || !bytes.Equal(block, bytes.Repeat(block[:1], size)) {
			t.Fatal("two writes are mixed")
		}
		count[block[0]]++
	}
	wg.Wait()
	if slices.ContainsFunc(count, func(n int) bool { return n != writes }) {
		t.Errorf("blocks by writer %v, want %d of each", count, writes)
	}
}

// testLargeTransfer sends much both ways at once, whole and in order.
func testLargeTransfer(t *testing.T, p Pair) {
	a, b := p.connect(t)
	results := make(chan error, 4)
	for seed, way := range [][2]net.Conn{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		sums := make(chan []byte, 1)
		go func() {
			sum := sha256.New()
			source := rand.NewChaCha8([32]byte{byte(seed)})
			_, err := io.CopyN(io.MultiWriter(from, sum), source, p.Bytes)
			sums <- sum.Sum(nil)
			closeWrite(t, from)
			results <- err
		}()
		go func() {
			sum := sha256.New()
			n, err := io.Copy(sum, to)
			if want := <-sums; err == nil && (n != p.Bytes || !bytes.Equal(sum.Sum(nil), want)) {
				err = fmt.Errorf("%d bytes arrived of %d, or they are changed", n, p.Bytes)
			}
			results <- err
		}()
	}
	for range cap(results) {
		select {
		case err := <-results:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(4 * patience):
			t.Fatal("large transfer does not end")
		}
	}
}

// randomBytes returns n bytes that follow from seed.
func randomBytes(seed uint64, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), 1}).Read(data)
	return data
}
