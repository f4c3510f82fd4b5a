package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// TestDrop revokes a peer while sockets to it are open, one of them with
// bytes that were not read.
func TestDrop(t *testing.T) {
	for _, carrier := range bothCarriers {
		t.Run(carrier, func(t *testing.T) {
			c := newClub()
			up := make(chan bool, 10)
			a := c.member(t, 1, only(carrier), func(config *Config) { config.OnPeer = func(_ kith.ID, is bool) { up <- is } })
			b := c.member(t, 2, only(carrier))
			dialed, accepted := connected(t, a, b)
			if _, err := accepted.Write([]byte("not read")); err != nil {
				t.Fatal(err)
			}
			kith.CloseWrite(accepted)
			written := make(chan error, 1)
			go func() {
				for {
					if _, err := dialed.Write(make([]byte, 1<<20)); err != nil {
						written <- err
						return
					}
				}
			}()
			io.ReadFull(accepted, make([]byte, 1<<20))
			c.set(b.id, false)
			a.Drop(b.id, fmt.Errorf("revoked by oak: %w", kith.NotMember))
			if _, err := dialed.Read(make([]byte, 10)); !errors.Is(err, kith.NotMember) {
				t.Errorf("read: %v, want kind %q", err, kith.NotMember)
			}
			if err := <-written; !errors.Is(err, kith.NotMember) {
				t.Errorf("write: %v, want kind %q", err, kith.NotMember)
			}
			accepted.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, accepted); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the dropped peer reads on: %v", err)
			}
			if !<-up || <-up {
				t.Error("OnPeer was not told up, then down")
			}
			waitFor(t, "the dropped peer's carrier to end", func() bool { return len(b.Peers()) == 0 })
			if err := b.Connect(t.Context(), a.id); !errors.Is(err, kith.NotMember) {
				t.Errorf("the dropped peer connects: %v, want kind %q", err, kith.NotMember)
			}
			if n := len(a.Sockets()); n != 0 {
				t.Errorf("%d sockets are left", n)
			}
		})
	}
}

// TestSimultaneousDials has two hosts dial each other at the same moment: both
// settle on one carrier, and no socket is lost.
func TestSimultaneousDials(t *testing.T) {
	for round := range 10 {
		c := newClub()
		carrier := bothCarriers[round%2]
		a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		la, _ := a.Listen(t.Context(), kith.Address{Port: 7})
		lb, _ := b.Listen(t.Context(), kith.Address{Port: 7})
		for _, l := range []net.Listener{la, lb} {
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						io.Copy(conn, conn)
						conn.Close()
					}()
				}
			}()
		}
		var wg sync.WaitGroup
		for _, way := range [][2]*Overlay{{a, b}, {b, a}} {
			for range 4 {
				wg.Go(func() {
					conn, err := way[0].Dial(t.Context(), kith.Address{Host: way[1].id.String(), Port: 7})
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					if _, err := conn.Write([]byte("echo")); err != nil {
						t.Error(err)
					}
					kith.CloseWrite(conn)
					if got, err := io.ReadAll(conn); err != nil || string(got) != "echo" {
						t.Errorf("read %q, %v", got, err)
					}
				})
			}
		}
		wg.Wait()
		waitFor(t, "both sides on the same carrier", func() bool {
			pa, pb := a.Peers(), b.Peers()
			return len(pa) == 1 && len(pb) == 1 && pa[0].Dialled != pb[0].Dialled
		})
		la.Close()
		lb.Close()
	}
}

// TestRestartedPeerTakesOver has a peer come back while its old carrier still
// seems alive.
func TestRestartedPeerTakesOver(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1, only(carrierTLS)), c.member(t, 2, only(carrierTLS))
	dialed, _ := connected(t, a, b)
	again := c.member(t, 2, only(carrierTLS))
	if err := again.Connect(t.Context(), a.id); err != nil {
		t.Fatal(err)
	}
	dialed.SetReadDeadline(time.Now().Add(patience))
	if _, err := dialed.Read(make([]byte, 1)); !errors.Is(err, kith.Unreachable) {
		t.Errorf("read from the peer before its restart: %v, want kind %q", err, kith.Unreachable)
	}
	fresh, accepted := connected(t, a, again)
	exchange(t, fresh, accepted)
}

// TestServeDrains ends a node right after it wrote: the peer has it all.
func TestServeDrains(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a := New(Config{Key: newKey(1), Admit: c.admit, Addresses: c.where, Carriers: []string{carrier}})
		c.set(a.id, true)
		stop := serve(t, a)
		if _, err := a.Open(t.Context(), "127.0.0.1", 0); err != nil {
			t.Fatal(err)
		}
		b := c.member(t, 2, only(carrier))
		dialed, accepted := connected(t, a, b)
		want := bytes.Repeat([]byte("last words "), 10_000)
		if _, err := dialed.Write(want); err != nil {
			t.Fatal(err)
		}
		dialed.Close()
		read := make(chan error, 1)
		go func() {
			got, err := io.ReadAll(accepted)
			if err == nil && !bytes.Equal(got, want) {
				err = fmt.Errorf("read %d bytes, want %d", len(got), len(want))
			}
			accepted.Close()
			read <- err
		}()
		stop()
		if err := <-read; err != nil {
			t.Errorf("%s: %v", carrier, err)
		}
		if _, err := a.Dial(t.Context(), kith.Address{Host: b.id.String(), Port: 1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial after Serve: %v, want net.ErrClosed", err)
		}
	}
}

// TestStatelessReset kills a host without a word and starts it again on the
// same port: what is left of its carriers ends with the next packet.
func TestStatelessReset(t *testing.T) {
	c := newClub()
	a := c.member(t, 1, only(carrierQUIC))
	b := New(Config{Key: newKey(2), Admit: c.admit, Addresses: c.where, Carriers: []string{carrierQUIC}})
	stop := serve(t, b)
	address, err := b.Open(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	c.set(b.id, true)
	c.place(b.id, address)
	dialed, _ := connected(t, a, b)
	b.door.udp.Close()
	stop()
	again := New(b.cfg)
	serve(t, again)
	if _, err := again.Open(t.Context(), "127.0.0.1", address.Port()); err != nil {
		t.Fatal(err)
	}
	if _, err := dialed.Write([]byte("are you there?")); err != nil {
		t.Fatal(err)
	}
	dialed.SetReadDeadline(time.Now().Add(patience))
	if _, err := dialed.Read(make([]byte, 1)); !errors.Is(err, kith.Unreachable) {
		t.Errorf("read: %v, want kind %q", err, kith.Unreachable)
	}
}

// TestTooManyLinks has a member open one carrier after the other, each with a
// socket so that none retires by itself.
func TestTooManyLinks(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a, b := c.member(t, 1, only(carrier)), c.member(t, 2, only(carrier))
		ln, err := a.Listen(t.Context(), kith.Address{Port: 7})
		if err != nil {
			t.Fatal(err)
		}
		config, err := b.diallerConfig(a.id)
		if err != nil {
			t.Fatal(err)
		}
		var carriers []carrierAndStream
		for range 3 * maxLinks {
			found, err := b.approach(t.Context(), a.id, b.ways(c.where(a.id), b.cfg.Carriers)[0], config.Clone())
			if err != nil {
				t.Fatal(err)
			}
			up, err := found.carrier()
			if err != nil {
				t.Fatal(err)
			}
			defer up.close()
			st, err := up.openStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			h := header{kind: forSocket, port: 7, socket: socketID{byte(len(carriers))}, suspend: time.Hour}
			if _, err := st.Write(h.append(nil)); err != nil {
				t.Fatal(err)
			}
			if refusal, err := readVerdict(st); refusal != nil || err != nil {
				t.Fatal(refusal, err)
			}
			accepted, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			carriers = append(carriers, carrierAndStream{up, accepted})
		}
		for i, c := range carriers[:len(carriers)-maxLinks] {
			select {
			case <-c.done():
			case <-time.After(patience):
				t.Fatalf("%s: carrier %d of %d stays up", carrier, i, len(carriers))
			}
			waitFor(t, "its socket to be suspended", func() bool { return !c.accepted.(*socket).suspendedSince().IsZero() })
		}
		select {
		case <-carriers[len(carriers)-1].done():
			t.Errorf("%s: the last carrier ended", carrier)
		default:
		}
	}
}

type carrierAndStream struct {
	carrier
	accepted net.Conn
}

// A blocked stream brings a header, and takes nothing before its deadline.
type blocked struct {
	stream
	header   io.Reader
	deadline chan time.Time
}

func (b *blocked) Read(p []byte) (int, error)         { return b.header.Read(p) }
func (b *blocked) SetReadDeadline(time.Time) error    { return nil }
func (b *blocked) SetWriteDeadline(t time.Time) error { b.deadline <- t; return nil }
func (b *blocked) reset()                             {}
func (b *blocked) Write([]byte) (int, error) {
	time.Sleep(time.Until(<-b.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestRefusalIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(Config{Key: newKey(1)})
		start := time.Now()
		l := &link{overlay: o, level: make(chan struct{})}
		l.setLevel()
		o.answer(l, &blocked{header: bytes.NewReader(header{kind: forSocket, port: 9}.append(nil)), deadline: make(chan time.Time, 1)})
		if took := time.Since(start); took != headerPatience {
			t.Errorf("a refusal took %s", took)
		}
	})
}
