package overlay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"kith.alt/kith"
)

// links returns the carriers of o to a peer.
func links(o *Overlay, peer kith.ID) []*link {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*link
	if p := o.peers[peer]; p != nil {
		for l := range p.links {
			list = append(list, l)
		}
	}
	return list
}

// cut ends the carriers between a and b, as seen from one of them.
func cut(a, b *Overlay) {
	for _, l := range links(a, b.id) {
		l.carrier.close()
	}
}

func (o *Overlay) held() int { return len(o.socketsOf(nil)) }

// arrived is how much programs have read.
func (o *Overlay) arrived() (n uint64) {
	for _, s := range o.socketsOf(nil) {
		n += s.received.Load()
	}
	return n
}

// transfer sends size bytes that follow from seed, and half-closes.
func transfer(from, to net.Conn, seed byte, size int64) error {
	var wg sync.WaitGroup
	var sent, got [32]byte
	var writing, reading error
	wg.Go(func() {
		sum := sha256.New()
		_, writing = io.CopyN(io.MultiWriter(from, sum), rand.NewChaCha8([32]byte{seed}), size)
		sent = [32]byte(sum.Sum(nil))
		kith.CloseWrite(from)
	})
	wg.Go(func() {
		sum := sha256.New()
		var n int64
		n, reading = io.Copy(sum, to)
		got = [32]byte(sum.Sum(nil))
		if reading == nil && n != size {
			reading = fmt.Errorf("%d bytes arrived of %d", n, size)
		}
	})
	wg.Wait()
	if err := errors.Join(writing, reading); err != nil {
		return err
	}
	if sent != got {
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

// TestCuts cuts the carriers at random while sockets carry bytes both ways.
func TestCuts(t *testing.T) {
	for _, carrier := range bothCarriers {
		t.Run(carrier, func(t *testing.T) {
			c := newClub()
			a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
			const sockets, size = 4, 8 << 20
			ctx, stop := context.WithCancel(t.Context())
			var cutting, moving sync.WaitGroup
			results := make(chan error, 2*sockets)
			for i := range sockets {
				dialed, accepted := connected(t, a, b)
				if i%2 == 1 {
					dialed, accepted = connected(t, b, a)
				}
				moving.Go(func() { results <- transfer(dialed, accepted, byte(i), size) })
				moving.Go(func() { results <- transfer(accepted, dialed, byte(i+100), size) })
			}
			cuts, before := 0, uint64(0)
			cutting.Go(func() {
				for {
					select {
					case <-time.After(rand.N(40 * time.Millisecond)):
					case <-ctx.Done():
						return
					}
					if arrived := a.arrived() + b.arrived(); arrived == before {
						continue // on a slow machine, too, something arrives between cuts
					} else {
						before = arrived
					}
					if cuts++; cuts%2 == 0 {
						cut(a, b)
					} else {
						cut(b, a)
					}
				}
			})
			moving.Wait()
			stop()
			cutting.Wait()
			for range cap(results) {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			t.Logf("%d cuts", cuts)
		})
	}
}

// TestCloseWhileCut closes sockets of which the carrier has just gone: the
// peer reads everything, then the end, and nothing is left.
func TestCloseWhileCut(t *testing.T) {
	for _, carrier := range bothCarriers {
		for _, how := range []string{"dialled closes", "accepted closes", "dialled half-closes", "accepted half-closes"} {
			t.Run(carrier+"/"+how, func(t *testing.T) {
				c := newClub()
				a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
				from, to := connected(t, a, b)
				if how[0] == 'a' {
					from, to = to, from
				}
				exchange(t, from, to)
				cut(b, a)
				want := bytes.Repeat([]byte("last words "), 5000)
				if _, err := from.Write(want); err != nil {
					t.Fatal(err)
				}
				cut(a, b)
				if how[len(how)-11:] == "half-closes" {
					kith.CloseWrite(from)
				} else {
					from.Close()
				}
				to.SetReadDeadline(time.Now().Add(patience))
				got, err := io.ReadAll(to)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("read %d bytes, %v; want %d", len(got), err, len(want))
				}
				to.Close()
				from.Close()
				waitFor(t, "both ends to be forgotten", func() bool { return a.held()+b.held() == 0 })
			})
		}
	}
}

// TestDeadlinesWhileSuspended has deadlines pass while there is no path, and
// the socket is as good as before afterwards.
func TestDeadlinesWhileSuspended(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1, only(carrierTLS)), c.member(t, 2, only(carrierTLS))
	dialed, accepted := connected(t, a, b)
	port := c.where(b.id)[0].Port()
	c.place(a.id)
	b.Shut()
	cut(a, b)
	waitFor(t, "the socket to be suspended", func() bool { return !a.Sockets()[0].Suspended.IsZero() })
	dialed.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := dialed.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want os.ErrDeadlineExceeded", err)
	}
	data := make([]byte, 2<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	dialed.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := dialed.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n != suspendedLimit {
		t.Errorf("write: %d, %v; want %d, os.ErrDeadlineExceeded", n, err, suspendedLimit)
	}
	dialed.SetDeadline(time.Time{})
	if _, err := b.Open(t.Context(), "127.0.0.1", port); err != nil {
		t.Skip("somebody else took the port: ", err)
	}
	a.Moved()
	go dialed.Write(data[n:])
	got := make([]byte, len(data))
	if _, err := io.ReadFull(accepted, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("what was written arrives changed, or %v", err)
	}
	exchange(t, dialed, accepted)
}

// TestListenerMoves gives a host another port while a transfer runs. Only the
// other one can dial.
func TestListenerMoves(t *testing.T) {
	for _, carrier := range bothCarriers {
		for _, mover := range []string{"dialler", "acceptor"} {
			t.Run(carrier+"/"+mover, func(t *testing.T) {
				c := newClub()
				a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
				dialed, accepted := connected(t, a, b)
				moves, stays := a, b
				if mover == "acceptor" {
					moves, stays = b, a
				}
				c.place(stays.id)
				done := make(chan error, 1)
				go func() { done <- transfer(accepted, dialed, 7, 32<<20) }()
				waitFor(t, "the transfer to begin", func() bool { return a.Sockets()[0].Received > 1<<20 })
				c.place(moves.id)
				moves.Shut()
				cut(stays, moves) // it has noticed; TestStall is about that
				address, err := moves.Open(t.Context(), "127.0.0.1", 0)
				if err != nil {
					t.Fatal(err)
				}
				c.place(moves.id, address)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPeerRestartsWhileSuspended has the peer's process end and start again
// while a socket has no path: it ends as soon as there is one.
func TestPeerRestartsWhileSuspended(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		dialed, _ := connected(t, a, b)
		c.place(a.id)
		c.place(b.id)
		b.Shut()
		cut(a, b)
		waitFor(t, "the socket to be suspended", func() bool { return !a.Sockets()[0].Suspended.IsZero() })
		c.member(t, 2, only(carrier))
		dialed.SetDeadline(time.Now().Add(patience))
		if _, err := dialed.Read(make([]byte, 1)); !errors.Is(err, errRestarted) || !errors.Is(err, kith.Unreachable) {
			t.Errorf("%s: read: %v, want %v", carrier, err, errRestarted)
		}
		if _, err := dialed.Write(make([]byte, 1)); !errors.Is(err, errRestarted) {
			t.Errorf("%s: write: %v, want %v", carrier, err, errRestarted)
		}
	}
}

// TestTwins has two hosts with one key talk to a third: the one that came last is not ended by the other at once.
func TestTwins(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a, first := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		connected(t, a, first)
		second := c.member(t, 2, only(carrier))
		dialed, _ := connected(t, second, a)
		for range 3 {
			waitFor(t, "the first to be sent away", func() bool { return len(first.Peers()) == 0 })
			first.Connect(t.Context(), a.id) // it may seem to be up for a moment
		}
		if _, err := dialed.Write([]byte("still here")); err != nil {
			t.Errorf("%s: %v", carrier, err)
		}
		if sockets := a.Sockets(); len(sockets) != 1 {
			t.Errorf("%s: there are %d sockets", carrier, len(sockets))
		}
	}
}

// TestForgedResumption has a member resume what is not its own, or not any
// more: it is refused, and the socket does not notice.
func TestForgedResumption(t *testing.T) {
	c := newClub()
	a, b, mallory := c.member(t, 1, only(carrierTLS)), c.member(t, 2, only(carrierTLS)), c.member(t, 3, only(carrierTLS))
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	cut(a, b)
	exchange(t, dialed, accepted)
	s := a.socketsOf(nil)[0]
	s.mu.Lock()
	good := header{kind: forResuming, socket: s.id, position: position{
		generation: s.state.generation + 1, received: s.state.position(), dialler: a.instance, acceptor: b.instance,
	}}
	s.mu.Unlock()
	for _, f := range []struct {
		name   string
		from   *Overlay
		change func(*header)
		want   error
	}{
		{"another host", mallory, func(h *header) {}, kith.NotFound},
		{"another host with its own instance", mallory, func(h *header) { h.position.dialler = mallory.instance }, kith.NotFound},
		{"unknown socket", a, func(h *header) { h.socket[0]++ }, kith.NotFound},
		{"another run of the dialler", a, func(h *header) { h.position.dialler[0]++ }, kith.NotFound},
		{"another run of the acceptor", a, func(h *header) { h.position.acceptor[0]++ }, kith.NotFound},
		{"the present generation", a, func(h *header) { h.position.generation-- }, kith.Expired},
		{"generation 0", a, func(h *header) { h.position.generation = 0 }, kith.Expired},
	} {
		l, err := f.from.linkTo(t.Context(), b.id)
		if err != nil {
			t.Fatal(err)
		}
		st, err := l.openStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h := good
		f.change(&h)
		st.SetReadDeadline(time.Now().Add(patience))
		if _, refusal, err := askToResume(st, h); err != nil || !errors.Is(refusal, f.want) {
			t.Errorf("%s: refusal %v, %v; want kind %q", f.name, refusal, err, f.want)
		}
		st.reset()
		exchange(t, dialed, accepted)
	}
}

// TestAskedAfterwards has the dialler forget a socket while there is no path:
// the acceptor learns of it with the next carrier.
func TestAskedAfterwards(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1, only(carrierTLS)), c.member(t, 2, only(carrierTLS))
	dialed, accepted := connected(t, a, b)
	where := c.where(b.id)
	c.place(b.id)
	c.place(a.id)
	cut(a, b)
	waitFor(t, "both ends to be suspended", func() bool {
		return !a.Sockets()[0].Suspended.IsZero() && !b.Sockets()[0].Suspended.IsZero()
	})
	dialed.(*socket).abort(errors.New("out of memory"))
	c.place(b.id, where...)
	if err := a.Connect(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	accepted.SetReadDeadline(time.Now().Add(patience))
	if _, err := accepted.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want ECONNRESET", err)
	}
}

// TestBetterCarrier has TLS over TCP appear while a socket rides on QUIC.
func TestBetterCarrier(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1, only(carrierQUIC)), c.member(t, 2)
	dialed, accepted := connected(t, a, b)
	done := make(chan error, 2)
	go func() { done <- transfer(accepted, dialed, 3, 32<<20) }()
	go func() { done <- transfer(dialed, accepted, 4, 32<<20) }()
	waitFor(t, "the transfer to begin", func() bool { return a.Sockets()[0].Received > 1<<20 })
	if _, err := a.reach(t.Context(), b.id, a.ways(c.where(b.id), []string{carrierTLS})); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the socket to move", func() bool { return len(a.Peers()) == 1 && a.Peers()[0].Carrier == carrierTLS })
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	waitFor(t, "the old carrier to retire", func() bool { return len(links(a, b.id)) == 1 && len(links(b, a.id)) == 1 })
}

// TestImprove has QUIC up first on a network of one's own, as happens when a computer
// is busy: TLS takes its place.
func TestImprove(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	if _, err := a.reach(t.Context(), b.id, a.ways(c.where(b.id), []string{carrierQUIC})); err != nil {
		t.Fatal(err)
	}
	dialed, accepted := connected(t, a, b)
	waitFor(t, "TLS to take the place of QUIC", func() bool { return len(a.Peers()) == 1 && a.Peers()[0].Carrier == carrierTLS })
	exchange(t, dialed, accepted)
}

// BenchmarkCuts measures what random cuts cost a transfer.
func BenchmarkCuts(b *testing.B) {
	for _, carrier := range bothCarriers {
		for _, every := range []time.Duration{0, time.Second, 100 * time.Millisecond} {
			b.Run(fmt.Sprintf("%s/every %v", carrier, every), func(b *testing.B) {
				c := newClub()
				from, to := c.member(b, 1, only(carrier)), c.member(b, 2, only(carrier))
				dialed, accepted := connected(b, from, to)
				stop := make(chan struct{})
				var cutting sync.WaitGroup
				if every > 0 {
					cutting.Go(func() {
						for {
							select {
							case <-time.After(every/2 + rand.N(every)):
								cut(from, to)
							case <-stop:
								return
							}
						}
					})
				}
				block := make([]byte, 128<<10)
				b.SetBytes(int64(len(block)))
				go func() {
					for range b.N {
						dialed.Write(block)
					}
					kith.CloseWrite(dialed)
				}()
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, accepted, make([]byte, 128<<10))
				if err != nil || n != int64(b.N*len(block)) {
					b.Errorf("%d bytes arrived of %d, %v", n, b.N*len(block), err)
				}
				close(stop)
				cutting.Wait()
			})
		}
	}
}
