package internet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

func listenTCP(t *testing.T, h *internet.Host, port uint16) net.Listener {
	t.Helper()
	l, err := h.ListenTCP(t.Context(), "", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func at(h *internet.Host, port uint16) netip.AddrPort { return netip.AddrPortFrom(h.Address(), port) }

// connect returns both ends of a connection from a to b.
func connect(t *testing.T, a, b *internet.Host) (near, far net.Conn) {
	t.Helper()
	l := listenTCP(t, b, 80)
	near, err := a.DialTCP(t.Context(), at(b, 80))
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func pattern(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

func TestTCPStream(t *testing.T) {
	for _, tt := range []struct {
		name          string
		loss, reorder float64
	}{{"clean", 0, 0}, {"loss", 0.03, 0}, {"reordered", 0, 0.2}, {"both", 0.03, 0.2}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := internet.New(internet.Config{Seed: 7})
				oak, elm := n.Router(internet.PortRestricted).Host("oak"), n.Public().Host("elm")
				elm.Link().SetLoss(tt.loss)
				elm.Link().SetReorder(tt.reorder)
				near, far := connect(t, oak, elm)
				want := pattern(1<<20 + 17)
				for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
					go func() {
						pair[0].Write(want)
						pair[0].(interface{ CloseWrite() error }).CloseWrite()
					}()
				}
				start := time.Now()
				for _, c := range []net.Conn{near, far} {
					got, err := io.ReadAll(c)
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("read %d bytes: %v", len(got), err)
					}
				}
				t.Log(time.Since(start))
			})
		})
	}
}

func TestTCPDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		oak, elm := n.Router(internet.PortRestricted).Host("oak"), n.Public().Host("elm")
		start := time.Now()
		near, far := connect(t, oak, elm)
		if got := time.Since(start); got != 63*time.Millisecond { // three segments over 1 + 10 + 10 ms
			t.Errorf("connected after %v", got)
		}
		if near.RemoteAddr().String() != far.LocalAddr().String() {
			t.Errorf("%v is not %v", near.RemoteAddr(), far.LocalAddr())
		}
		seen := far.RemoteAddr().(*net.TCPAddr).AddrPort()
		if seen.Addr() != oak.Router().Outside() || seen.Port() != near.LocalAddr().(*net.TCPAddr).AddrPort().Port() {
			t.Errorf("seen as %v", seen)
		}

		if _, err := oak.DialTCP(t.Context(), at(elm, 81)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}

		syns := 0
		nowhere := netip.MustParseAddrPort("203.0.113.200:80")
		n.Capture(func(p internet.Packet) {
			if p.SYN && p.Destination == nowhere {
				syns++
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start = time.Now()
		if _, err := oak.DialTCP(ctx, nowhere); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nowhere: %v", err)
		}
		if got := time.Since(start); got != time.Minute || syns != 3 {
			t.Errorf("%d SYNs in %v", syns, got)
		}
		start = time.Now()
		if _, err := oak.DialTCP(t.Context(), nowhere); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) != 127*time.Second {
			t.Errorf("nowhere: %v after %v", err, time.Since(start))
		}
		oak.Unplug()
		if _, err := oak.DialTCP(t.Context(), at(elm, 80)); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("unplugged: %v", err)
		}
	})
}

func TestTCPWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		near, far := connect(t, n.Public().Host("oak"), n.Public().Host("elm"))
		near.SetWriteDeadline(time.Now().Add(time.Minute))
		written, err := near.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || written != 512<<10 {
			t.Fatalf("wrote %d bytes to a peer that does not read: %v", written, err)
		}
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		near.SetWriteDeadline(time.Time{})
		go func() {
			near.Write(make([]byte, 1<<20-written))
			near.Close()
		}()
		got, err := io.ReadAll(far)
		if len(got) != 1<<20 || err != nil {
			t.Fatalf("read %d bytes: %v", len(got), err)
		}
	})
}

func TestTCPClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		oak, elm := n.Public().Host("oak"), n.Public().Host("elm")

		near, far := connect(t, oak, elm)
		near.Write([]byte("last"))
		near.Close()
		if got, err := io.ReadAll(far); string(got) != "last" || err != nil {
			t.Errorf("read %q before the close: %v", got, err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		far.Write([]byte("nobody reads this"))
		time.Sleep(time.Second)
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write to a closed peer: %v", err)
		}

		near, far = connect(t, oak, elm)
		far.Write([]byte("unread"))
		time.Sleep(time.Second)
		near.Close()
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("peer closed without reading: %v", err)
		}

		near, _ = connect(t, oak, elm)
		near.SetReadDeadline(time.Now().Add(time.Second))
		start := time.Now()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read deadline: %v after %v", err, time.Since(start))
		}
		done := make(chan error)
		go func() {
			_, err := near.Read(make([]byte, 1))
			done <- err
		}()
		near.SetReadDeadline(time.Time{})
		synctest.Wait()
		near.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read while it was closed: %v", err)
		}
	})
}

// TestTCPWriters: writes at the same time do not mix.
func TestTCPWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		near, far := connect(t, n.Public().Host("oak"), n.Public().Host("elm"))
		const size = 600 << 10 // more than buffers hold
		for _, letter := range "abc" {
			go near.Write(bytes.Repeat([]byte{byte(letter)}, size))
		}
		var order []byte
		for range 3 {
			got := make([]byte, size)
			if _, err := io.ReadFull(far, got); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(got, got[:1]) != size {
				t.Fatal("writes were mixed")
			}
			order = append(order, got[0])
		}
		t.Logf("%s", order)
	})
}

// TestTCPBacklog: connections that nobody accepts wait, are accepted in the end,
// and are reset when the listener closes.
func TestTCPBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		oak, elm := n.Public().Host("oak"), n.Public().Host("elm")
		l := listenTCP(t, elm, 80)
		first, err := oak.DialTCP(t.Context(), at(elm, 80))
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		for range 127 {
			conn, err := oak.DialTCP(t.Context(), at(elm, 80))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := oak.DialTCP(ctx, at(elm, 80)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more than the backlog: %v", err)
		}
		l.Close()
		if _, err := first.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("not accepted when the listener closed: %v", err)
		}
	})
}

// TestTCPServerSpeaksFirst over links that lose so much that every segment of
// the handshake is lost with one seed or another.
func TestTCPServerSpeaksFirst(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			n := internet.New(internet.Config{Seed: seed, Loss: 0.05})
			oak, elm := n.Public().Host("oak"), n.Public().Host("elm")
			l := listenTCP(t, elm, 80)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conn.Write([]byte("220 elm\r\n"))
				conn.Close()
			}()
			conn, err := oak.DialTCP(t.Context(), at(elm, 80))
			if errors.Is(err, syscall.ETIMEDOUT) { // all three SYNs, or their answers
				t.Logf("seed %d: %v", seed, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if string(got) != "220 elm\r\n" || err != nil {
				t.Errorf("seed %d: read %q: %v", seed, got, err)
			}
			conn.Close()
		})
	}
}
