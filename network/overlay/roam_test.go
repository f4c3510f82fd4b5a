package overlay

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

// roam has an overlay act on changes of its host's networks, as a node does, and
// its new addresses known at once.
func (v *village) roam(t *testing.T, o *Overlay, host *internet.Host) {
	go func() {
		for range host.Changes(t.Context()) {
			v.tell(o, host)
			o.Moved()
		}
	}()
}

// TestRoaming moves hosts to other networks while a byte goes back and forth
// every 20 ms, on paths with a round trip of 20 ms: it goes on within half a second.
func TestRoaming(t *testing.T) {
	const goal = 500 * time.Millisecond
	type move func(v *village, a, b *internet.Host)
	for _, carrier := range []string{carrierTLS, carrierQUIC, "both"} {
		for _, c := range []struct {
			name string
			move move
		}{
			{"dialler moves", func(v *village, a, b *internet.Host) { a.Move(v.net.Router(internet.None)) }},
			{"acceptor moves", func(v *village, a, b *internet.Host) { b.Move(v.net.Router(internet.None)) }},
			{"both move", func(v *village, a, b *internet.Host) {
				a.Move(v.net.Router(internet.None))
				b.Move(v.net.Router(internet.None))
			}},
			{"dialler behind a NAT", func(v *village, a, b *internet.Host) { a.Move(v.net.Router(internet.PortRestricted)) }},
			{"acceptor behind a NAT", func(v *village, a, b *internet.Host) { b.Move(v.net.Router(internet.PortRestricted)) }},
			{"cable out for a minute", func(v *village, a, b *internet.Host) {
				b.Unplug()
				time.Sleep(time.Minute)
				b.Plug()
			}},
			{"asleep for an hour", func(v *village, a, b *internet.Host) {
				a.Sleep()
				time.Sleep(time.Hour)
				a.Wake()
			}},
		} {
			t.Run(carrier+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := &village{club: newClub(), net: internet.New(internet.Config{Seed: 1, Delay: 5 * time.Millisecond})}
					m := v.settle(t, 3, v.net.Public().Host("maple"))
					ash, birch := v.net.Public().Host("ash"), v.net.Public().Host("birch")
					a := v.settle(t, 1, ash, m.id)
					b := v.settle(t, 2, birch, m.id)
					for _, o := range []*Overlay{a, b} {
						if carrier != "both" {
							o.cfg.Carriers = []string{carrier}
						}
						if err := o.Connect(t.Context(), m.id); err != nil {
							t.Fatal(err)
						}
					}
					v.roam(t, a, ash)
					v.roam(t, b, birch)
					dialed, accepted := connected(t, a, b)
					go io.Copy(accepted, accepted)
					var last atomic.Int64
					go func() {
						p := make([]byte, 1)
						for {
							if _, err := dialed.Write(p); err != nil {
								return
							}
							if _, err := dialed.Read(p); err != nil {
								return
							}
							last.Store(time.Now().UnixNano())
							time.Sleep(20 * time.Millisecond)
						}
					}()
					time.Sleep(30 * time.Second)
					c.move(v, ash, birch)
					up := time.Now()
					for last.Load() <= up.UnixNano()+int64(100*time.Millisecond) && time.Since(up) < time.Minute {
						time.Sleep(time.Millisecond)
					}
					gap := time.Since(up)
					pa, _ := pathOf(a, b)
					pb, _ := pathOf(b, a)
					if t.Log(gap, pa, pb); gap > goal {
						t.Errorf("goes on %v after the move, want %v at most", gap, goal)
					}
					for _, conn := range []io.Closer{dialed, accepted} {
						conn.Close()
					}
				})
			})
		}
	}
}
