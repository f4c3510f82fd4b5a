package overlay

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// together puts a carrier over pipes into service between two overlays that
// cannot dial each other. While lose is set, nothing arrives any more.
func together(t *testing.T, a, b *Overlay, lose *atomic.Bool) {
	t.Helper()
	near, far := net.Pipe()
	for _, end := range []struct {
		overlay, peer *Overlay
		conn          net.Conn
		dialled       bool
	}{{b, a, far, false}, {a, b, near, true}} {
		c, err := newYamuxCarrier(carrierTLS, cable{end.conn, lose, new(atomic.Int64)}, end.dialled)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := end.overlay.adopt(c, arrival{peer: end.peer.id, dialled: end.dialled, theirs: hello{instance: end.peer.instance}}); err != nil {
			t.Fatal(err)
		}
	}
}

// pair returns two overlays that only together connects.
func pair(t *testing.T) (a, b *Overlay) {
	c := newClub()
	for i, o := range []**Overlay{&a, &b} {
		*o = New(Config{Key: newKey(i + 1), Admit: c.admit})
		c.set((*o).id, true)
		serve(t, *o)
	}
	return a, b
}

// dialOn is connected, for programs if so wanted.
func dialOn(t *testing.T, from kith.Network, to *Overlay) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := to.Listen(t.Context(), kith.Address{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialed, err = from.Dial(t.Context(), l.Addr().(kith.Address)); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// TestSuspension leaves sockets without a path: both ends give up when their
// time is over and not before.
func TestSuspension(t *testing.T) {
	for _, c := range []struct {
		name    string
		network func(*Overlay) kith.Network
		want    time.Duration
	}{
		{"node", func(o *Overlay) kith.Network { return o }, 24 * time.Hour},
		{"program", (*Overlay).Programs, 24 * time.Hour},
		{"gateway", func(o *Overlay) kith.Network { return o.ProgramsFor(time.Minute) }, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t)
				together(t, a, b, new(atomic.Bool))
				dialed, accepted := dialOn(t, c.network(a), b)
				exchange(t, dialed, accepted)
				lost := time.Now()
				cut(a, b)
				for _, conn := range []net.Conn{dialed, accepted} {
					_, err := conn.Read(make([]byte, 1))
					if took := time.Since(lost); !errors.Is(err, kith.Unreachable) || !strings.Contains(err.Error(), "no path") || took != c.want {
						t.Errorf("read: %v after %v, want kind %q after %v", err, took, kith.Unreachable, c.want)
					}
				}
				if _, err := dialed.Write(make([]byte, 1)); !errors.Is(err, kith.Unreachable) {
					t.Errorf("write: %v, want kind %q", err, kith.Unreachable)
				}
				if n := a.held() + b.held(); n != 0 {
					t.Errorf("%d sockets are left", n)
				}
				synctest.Wait()
			})
		})
	}
}

// TestResumeAfterSleep suspends sockets for most of a day.
func TestResumeAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		together(t, a, b, new(atomic.Bool))
		dialed, accepted := dialOn(t, a, b)
		for range 3 {
			cut(a, b)
			time.Sleep(23 * time.Hour)
			together(t, a, b, new(atomic.Bool))
			exchange(t, dialed, accepted)
		}
	})
}

// TestStall has a carrier swallow what is sent: with bytes outstanding that is
// noticed, another carrier is sought, and the sockets go on there. The old one
// is ended at last.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		var lose atomic.Bool
		together(t, a, b, &lose)
		dialed, accepted := dialOn(t, a, b)
		exchange(t, dialed, accepted)
		time.Sleep(time.Hour + time.Second)
		lose.Store(true)
		if _, err := dialed.Write([]byte("into the void")); err != nil {
			t.Fatal(err)
		}
		silent := time.Now()
		old := links(a, b.id)[0]
		waitUntil(func() bool {
			old.vigil.mu.Lock()
			defer old.vigil.mu.Unlock()
			return old.vigil.doubtful
		})
		if took := time.Since(silent); took < doubtAfter || took > doubtAfter+2*waitingTick {
			t.Errorf("pinged after %v, want %v", took, doubtAfter)
		}
		waitUntil(func() bool { return len(a.Peers()) == 0 })
		if took := time.Since(silent); took < doubtAfter+stallAfter || took > doubtAfter+stallAfter+2*waitingTick {
			t.Errorf("stalled after %v, want %v", took, doubtAfter+stallAfter)
		}
		waitUntil(func() bool { return !a.Sockets()[0].Suspended.IsZero() })
		together(t, a, b, new(atomic.Bool))
		got := make([]byte, 13)
		if _, err := accepted.Read(got); err != nil || string(got) != "into the void" {
			t.Errorf("read %q, %v", got, err)
		}
		exchange(t, dialed, accepted)
		if took := time.Since(silent); took > doubtAfter+stallAfter+time.Second {
			t.Errorf("goes on after %v", took)
		}
		<-old.done()
		if took := time.Since(silent); took > giveUp+time.Second {
			t.Errorf("given up after %v, want %v at most", took, giveUp)
		}
	})
}

// TestStallPasses has a carrier silent for so long that another one is sought,
// in vain. Then it is heard again, and the sockets go on there.
func TestStallPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		h := newHose(t, a, b)
		dialed, accepted := dialOn(t, a, b)
		exchange(t, dialed, accepted)
		h.held.Store(true)
		dialed.Write([]byte("late"))
		waitUntil(func() bool { return !a.Sockets()[0].Suspended.IsZero() })
		time.Sleep(10 * time.Second)
		h.held.Store(false)
		got := make([]byte, 4)
		if _, err := io.ReadFull(accepted, got); err != nil || string(got) != "late" {
			t.Errorf("read %q, %v", got, err)
		}
		time.Sleep(time.Second)
		if len(a.Peers()) != 1 || !a.Sockets()[0].Suspended.IsZero() {
			t.Errorf("the link is not back: %v, %v", a.Peers(), a.Sockets())
		}
		exchange(t, dialed, accepted)
		for _, s := range a.socketsOf(nil) {
			if s.state.generation != 0 {
				t.Error("the socket was resumed elsewhere")
			}
		}
	})
}

// TestSlowPath writes to a peer that reads nothing, over a path that takes a
// minute for what is under way: it is slow, but not dead.
func TestSlowPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		h := newHose(t, a, b)
		dialed, accepted := dialOn(t, a, b)
		exchange(t, dialed, accepted)
		h.rate.Store(16 << 10) // bytes a second
		data := make([]byte, 1<<20)
		go dialed.Write(data)
		for began := time.Now(); time.Since(began) < 100*time.Second; time.Sleep(time.Second) {
			if len(a.Peers()) != 1 || len(links(a, b.id)) != 1 || !a.Sockets()[0].Suspended.IsZero() {
				t.Fatalf("taken for dead after %v", time.Since(began))
			}
		}
		h.rate.Store(0)
		if _, err := io.ReadFull(accepted, data); err != nil {
			t.Error(err)
		}
	})
}

// TestUnreadBytesCostLittle leaves bytes unread for an hour: the carrier is
// not asked every second whether it lives, but a new message is watched as
// closely as ever.
func TestUnreadBytesCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		var lose atomic.Bool
		together(t, a, b, &lose)
		dialed, accepted := dialOn(t, a, b)
		other, end := dialOn(t, a, b)
		dialed.Write([]byte("unread"))
		l := links(a, b.id)[0]
		time.Sleep(time.Minute)
		before := l.arrived()
		time.Sleep(time.Hour)
		if rate := float64(l.arrived()-before) / 3600; rate > 10 {
			t.Errorf("%.1f bytes a second", rate)
		}
		exchange(t, other, end)
		lose.Store(true)
		other.Write([]byte("x"))
		silent := time.Now()
		waitUntil(func() bool { return len(a.Peers()) == 0 })
		if took := time.Since(silent); took > doubtAfter+stallAfter+mostRest/8+time.Second {
			t.Errorf("stalled after %v", took)
		}
		accepted.Close()
	})
}

// waitUntil waits in virtual time.
func waitUntil(condition func() bool) {
	for !condition() {
		time.Sleep(10 * time.Millisecond)
	}
}

// A hose is a carrier between two overlays whose bytes can be held back or
// slowed down, with buffers like those of TCP.
type hose struct {
	held  atomic.Bool
	rate  atomic.Int64 // bytes a second, 0: no limit
	delay atomic.Int64 // nanoseconds
	ends  [4]net.Conn
}

func (h *hose) cut() {
	for _, c := range h.ends {
		c.Close()
	}
}

func newHose(t *testing.T, a, b *Overlay) *hose {
	h := new(hose)
	aEnd, aFar := net.Pipe()
	bEnd, bFar := net.Pipe()
	h.ends = [...]net.Conn{aEnd, aFar, bEnd, bFar}
	var carrying sync.WaitGroup
	carrying.Go(func() { h.carry(aFar, bFar) })
	carrying.Go(func() { h.carry(bFar, aFar) })
	t.Cleanup(func() {
		h.cut()
		carrying.Wait()
	})
	for _, end := range []struct {
		overlay, peer *Overlay
		conn          net.Conn
		dialled       bool
	}{{b, a, bEnd, false}, {a, b, aEnd, true}} {
		c, err := newYamuxCarrier(carrierTLS, end.conn, end.dialled)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := end.overlay.adopt(c, arrival{peer: end.peer.id, dialled: end.dialled, theirs: hello{instance: end.peer.instance}}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *hose) carry(from, to net.Conn) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	queue := make(chan parcel, 4096)
	go func() {
		defer close(queue)
		for {
			p := make([]byte, 4<<10)
			n, err := from.Read(p)
			if err != nil {
				return
			}
			queue <- parcel{p[:n], time.Now().Add(time.Duration(h.delay.Load()))}
		}
	}()
	defer h.cut()
	for p := range queue {
		time.Sleep(time.Until(p.due))
		if rate := h.rate.Load(); rate > 0 {
			time.Sleep(time.Duration(len(p.bytes)) * time.Second / time.Duration(rate))
		}
		waitUntil(func() bool { return !h.held.Load() || from.SetDeadline(time.Time{}) != nil })
		if _, err := to.Write(p.bytes); err != nil {
			return
		}
	}
}

// TestSuspendedSocketsAreCapped suspends too many, by number and by bytes.
func TestSuspendedSocketsAreCapped(t *testing.T) {
	for _, c := range []struct {
		name    string
		sockets int
		bytes   int // in each
		want    int
	}{
		{"number", maxSuspended + 10, 0, maxSuspended},
		{"bytes", maxSuspendedBytes/(suspendedLimit/2) + 7, suspendedLimit / 2, maxSuspendedBytes / (suspendedLimit / 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t)
				together(t, a, b, new(atomic.Bool))
				l, err := b.Listen(t.Context(), kith.Address{})
				if err != nil {
					t.Fatal(err)
				}
				var list []net.Conn
				for range c.sockets {
					conn, err := a.Dial(t.Context(), l.Addr().(kith.Address))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := l.Accept(); err != nil {
						t.Fatal(err)
					}
					if c.bytes > 0 {
						if _, err := conn.Write(make([]byte, c.bytes)); err != nil {
							t.Fatal(err)
						}
					}
					list = append(list, conn)
					time.Sleep(time.Millisecond)
				}
				cut(a, b)
				synctest.Wait()
				if n := len(a.Sockets()); n != c.want {
					t.Errorf("%d sockets are left, want %d", n, c.want)
				}
				if _, err := list[0].Write([]byte("x")); !errors.Is(err, kith.Quota) {
					t.Errorf("the oldest: %v, want kind %q", err, kith.Quota)
				}
				newest := list[len(list)-1]
				newest.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := newest.Write([]byte("x")); err != nil && (c.bytes == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
					t.Errorf("the newest: %v", err)
				}
				if taken := a.budgets[b.id].taken.Load(); taken > maxSuspendedBytes {
					t.Errorf("they take %d bytes, at most %d", taken, maxSuspendedBytes)
				}
				a.Drop(b.id, kith.NotMember)
				if _, err := list[len(list)-1].Write([]byte("x")); !errors.Is(err, kith.NotMember) || a.held() != 0 {
					t.Errorf("dropped while suspended: %v, %d sockets are left", err, a.held())
				}
			})
		})
	}
}

// TestLingering closes sockets whose peer does not read: they are capped in
// number and time.
func TestLingering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		together(t, a, b, new(atomic.Bool))
		l, err := b.Listen(t.Context(), kith.Address{})
		if err != nil {
			t.Fatal(err)
		}
		var unread []net.Conn
		for range maxClosed + 10 {
			conn, err := a.Dial(t.Context(), l.Addr().(kith.Address))
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn.Write([]byte("read me"))
			conn.Close()
			unread = append(unread, accepted)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := a.held(); n != maxClosed {
			t.Errorf("%d closed sockets wait, want %d", n, maxClosed)
		}
		read := func(conn net.Conn) {
			t.Helper()
			if got, err := io.ReadAll(conn); err != nil || string(got) != "read me" {
				t.Errorf("read %q, %v", got, err)
			}
		}
		read(unread[0]) // the carrier has all of it
		time.Sleep(lingerFor - time.Minute)
		read(unread[len(unread)-1])
		time.Sleep(time.Second)
		if n := a.held(); n != maxClosed-1 {
			t.Errorf("%d closed sockets wait, want %d", n, maxClosed-1)
		}
		time.Sleep(time.Minute)
		if n := a.held(); n != 0 {
			t.Errorf("%d closed sockets are left after %v", n, lingerFor)
		}
		read(unread[len(unread)-2])
		for _, conn := range unread {
			conn.Close()
		}
	})
}
