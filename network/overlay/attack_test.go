package overlay

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// say sends raw notices on a control stream of the link, as whoever is at its
// near end might.
func say(t *testing.T, l *link, wire []byte) {
	t.Helper()
	st, err := l.openStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write(append(header{kind: forControl}.append(nil), wire...)); err != nil {
		t.Error(err)
	}
	st.closeWrite()
}

// TestForgedNotices has another member, and the peer itself, say what is not
// so about sockets.
func TestForgedNotices(t *testing.T) {
	all := func(s *socket, dialled bool) (wire []byte) {
		for kind := range 256 {
			for _, position := range []uint64{0, 1, s.state.acked, s.state.kept.end + 1, 1<<64 - 1} {
				wire = notice{kind: noticeKind(kind), dialled: dialled, socket: s.id, position: position}.append(wire)
			}
		}
		return wire
	}
	t.Run("another host", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pair(t)
			together(t, a, b, new(atomic.Bool))
			mallory := New(Config{Key: newKey(3), Admit: a.cfg.Admit})
			a.cfg.Admit(mallory.id, []byte("ticket of "+mallory.id.String()))
			serve(t, mallory)
			dialed, accepted := dialOn(t, a, b)
			exchange(t, dialed, accepted)
			for _, victim := range []*Overlay{a, b} {
				together(t, mallory, victim, new(atomic.Bool))
				s := victim.socketsOf(nil)[0]
				say(t, mallory.currentLink(victim.id), append(all(s, true), all(s, false)...))
				synctest.Wait()
				time.Sleep(time.Second)
				exchange(t, dialed, accepted)
			}
		})
	})
	// The peer itself may end its own socket thus, and no other.
	for _, c := range []struct {
		name   string
		notice func(s *socket) notice
		want   error
	}{
		{"what was not sent", func(s *socket) notice {
			return notice{kind: noticePosition, position: s.state.sent + 1}
		}, errPosition},
		{"the end that was not sent", func(s *socket) notice {
			return notice{kind: noticePosition, position: s.state.kept.end + 1}
		}, errPosition},
		{"far ahead", func(s *socket) notice { return notice{kind: noticePosition, position: 1<<64 - 1} }, errPosition},
		{"behind", func(s *socket) notice { return notice{kind: noticePosition} }, nil},
		{"gone", func(s *socket) notice { return notice{kind: noticeGone} }, syscall.ECONNRESET},
		{"closed", func(s *socket) notice { return notice{kind: noticeClosed} }, syscall.ECONNRESET},
		{"unknown kind", func(s *socket) notice { return notice{kind: 99} }, nil},
		{"question", func(s *socket) notice { return notice{kind: noticeQuery} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t)
				together(t, a, b, new(atomic.Bool))
				dialed, accepted := dialOn(t, a, b)
				other, end := dialOn(t, a, b)
				exchange(t, dialed, accepted)
				s := b.socketOf(a.id, dialed.(*socket).id, true)
				n := c.notice(s)
				n.dialled, n.socket = true, s.id
				say(t, a.currentLink(b.id), n.append(nil))
				time.Sleep(time.Second)
				if c.want == nil {
					exchange(t, dialed, accepted)
				} else if _, err := accepted.Write([]byte("x")); !errors.Is(err, c.want) {
					t.Errorf("write: %v, want %v", err, c.want)
				}
				exchange(t, other, end)
			})
		})
	}
	t.Run("garbage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pair(t)
			together(t, a, b, new(atomic.Bool))
			dialed, accepted := dialOn(t, a, b)
			random := rand.NewChaCha8([32]byte{1})
			for size := range 100 {
				wire := make([]byte, size)
				random.Read(wire)
				say(t, a.currentLink(b.id), wire)
			}
			exchange(t, dialed, accepted)
		})
	})
}

// TestForgedPositions has the peer resume a socket where it cannot be: it loses
// that socket, and gets no byte of it.
func TestForgedPositions(t *testing.T) {
	for _, c := range []struct {
		name     string
		position func(s *socket) uint64
	}{
		{"before what was acknowledged", func(s *socket) uint64 { return s.state.acked - 1 }},
		{"behind what was sent", func(s *socket) uint64 { return s.state.sent + 1 }},
		{"behind the end", func(s *socket) uint64 { return 1<<64 - 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t)
				together(t, a, b, new(atomic.Bool))
				dialed, accepted := dialOn(t, a, b)
				other, end := dialOn(t, a, b)
				exchange(t, dialed, accepted)
				time.Sleep(5 * time.Second) // all is acknowledged
				s := b.socketOf(a.id, dialed.(*socket).id, true)
				s.mu.Lock()
				forged := c.position(s)
				s.mu.Unlock()
				st, err := a.currentLink(b.id).openStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, refusal, err := askToResume(st, header{kind: forResuming, socket: s.id, position: position{
					generation: 1, received: forged, dialler: a.instance, acceptor: b.instance,
				}})
				if err != nil || !errors.Is(refusal, kith.NotFound) {
					t.Errorf("refusal %v, %v; want kind %q", refusal, err, kith.NotFound)
				}
				time.Sleep(time.Second)
				if _, err := accepted.Write([]byte("x")); !errors.Is(err, errPosition) {
					t.Errorf("write: %v, want %v", err, errPosition)
				}
				exchange(t, other, end)
			})
		})
	}
}

// TestReplayedResumption sends again what resumed a socket, whole and cut
// short, on the same carrier and on a new one.
func TestReplayedResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		together(t, a, b, new(atomic.Bool))
		dialed, accepted := dialOn(t, a, b)
		exchange(t, dialed, accepted)
		s := dialed.(*socket)
		replay := header{kind: forResuming, socket: s.id, position: position{
			generation: 1, received: s.state.position(), dialler: a.instance, acceptor: b.instance,
		}}.append(nil)
		cut(a, b)
		together(t, a, b, new(atomic.Bool))
		exchange(t, dialed, accepted)
		if s.state.generation != 1 {
			t.Fatalf("generation %d, want 1", s.state.generation)
		}
		for range 2 {
			for size := range len(replay) + 1 {
				st, err := a.currentLink(b.id).openStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				st.Write(replay[:size])
				if size%2 == 0 {
					st.closeWrite()
				} else {
					st.reset()
				}
			}
			time.Sleep(time.Minute)
			exchange(t, dialed, accepted)
			cut(b, a)
			together(t, a, b, new(atomic.Bool))
			exchange(t, dialed, accepted)
		}
	})
}

// TestFloodOfResumptions has a member resume ten thousand times at once: what
// it does not own, and what it owns at ever higher generations. Nobody else
// notices, and nothing is left of it.
func TestFloodOfResumptions(t *testing.T) {
	c := newClub()
	a, b, mallory := c.member(t, 1, only(carrierTLS)), c.member(t, 2, only(carrierTLS)), c.member(t, 3, only(carrierTLS))
	dialed, accepted := connected(t, a, b)
	own, end := connected(t, mallory, b)
	exchange(t, dialed, accepted)
	exchange(t, own, end)
	l, err := mallory.linkTo(t.Context(), b.id)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var generation atomic.Uint32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for range 100 {
				h := header{kind: forResuming, position: position{generation: 1, dialler: mallory.instance, acceptor: b.instance}}
				switch i % 3 {
				case 0:
					h.socket = dialed.(*socket).id
					h.position.dialler = a.instance
				case 1:
					h.socket = own.(*socket).id
					h.position.generation = generation.Add(1)
					h.position.received = rand.Uint64N(3)
				case 2:
					h.socket = socketID{byte(i)}
				}
				st, err := l.openStream(t.Context())
				if err != nil {
					return
				}
				st.SetReadDeadline(time.Now().Add(patience))
				st.SetWriteDeadline(time.Now().Add(patience))
				st.Write(h.append(nil))
				if i%2 == 0 {
					readVerdict(st)
				}
				st.reset()
			}
		})
	}
	wg.Wait()
	exchange(t, dialed, accepted)
	own.Close()
	end.Close()
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+20 })
	if n := len(b.socketsOf(&mallory.id)); n > 1 {
		t.Errorf("%d sockets of the attacker", n)
	}
}
