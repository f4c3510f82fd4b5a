package overlay

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

// neighbours returns two overlays with a QUIC carrier, and a socket on it. The
// one that accepted it is on host, and does not hear of its moves.
func neighbours(t *testing.T) (v *village, a, b *Overlay, host *internet.Host, dialed, accepted net.Conn) {
	v = &village{club: newClub(), net: internet.New(internet.Config{Seed: 1, Delay: 5 * time.Millisecond})}
	host = v.net.Public().Host("birch")
	a, b = v.settle(t, 1, v.net.Public().Host("ash")), v.settle(t, 2, host)
	dialed, accepted = connected(t, a, b)
	exchange(t, dialed, accepted)
	if kind := links(a, b.id)[0].kind(); kind != carrierQUIC {
		t.Fatalf("the carrier is %s", kind)
	}
	return v, a, b, host, dialed, accepted
}

// TestOneWayPath has everything of one host arrive, and nothing of the other, as
// when a router has given the first another port: the other finds out, whatever
// it hears.
func TestOneWayPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, a, b, host, dialed, accepted := neighbours(t)
		from, to := packets(t, b, 0), packets(t, a, 0)
		go func() {
			for {
				select {
				case <-time.After(50 * time.Millisecond):
					from.WriteTo([]byte("hello"), to.LocalAddr())
				case <-t.Context().Done():
					return
				}
			}
		}()
		time.Sleep(time.Second)
		host.Move(v.net.Router(internet.None))
		v.tell(b, host)
		moved := time.Now()
		exchange(t, dialed, accepted)
		if took := time.Since(moved); took > doubtAfter+stallAfter+time.Second {
			t.Errorf("goes on after %v", took)
		}
	})
}

// TestLateArrival has a packet arrive after a host has asked whether the path is
// alive, and nothing after that: it is no answer.
func TestLateArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, a, b, host, _, _ := neighbours(t)
		time.Sleep(time.Second)
		from, to := packets(t, a, 0), packets(t, b, 0)
		sendUntil(t, from, to, "early")
		time.Sleep(time.Second)
		from.WriteTo([]byte("late"), to.LocalAddr())
		time.Sleep(9 * time.Millisecond)
		l := links(b, a.id)[0]
		arrived := l.arrived()
		l.doubt(moveDoubt)
		time.Sleep(2 * time.Millisecond)
		host.Move(v.net.Router(internet.None))
		time.Sleep(moveDoubt)
		if l.arrived() == arrived {
			t.Fatal("nothing was late")
		}
		if !l.vigil.stalled.Load() {
			t.Error("the path counts as alive")
		}
	})
}

// TestAnsweredInTime has a link stall in the moment when a question on it is
// being answered: the stream, to which a socket may be attached by then, stays.
func TestAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _, _, _ := neighbours(t)
		l := links(a, b.id)[0]
		st, err := l.openStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		answered := l.ask(st)
		l.vigil.stalled.Store(true)
		a.settle(l)
		synctest.Wait()
		answered()
		st.SetReadDeadline(time.Time{})
		st.SetWriteDeadline(time.Time{})
		if _, err := st.Write(header{kind: forPing}.append(nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := readHeader(st); err != nil {
			t.Error(err)
		}
		st.reset()
	})
}
