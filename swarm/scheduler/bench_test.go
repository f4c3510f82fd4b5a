package scheduler

import (
	"testing"
	"time"
)

const million = 1 << 20 // blocks: 16 GiB

// BenchmarkTake measures what a block costs who takes it from 32 peers.
func BenchmarkTake(b *testing.B) {
	var s *Scheduler
	var now time.Duration
	var asked []Order
	b.ReportAllocs()
	for b.Loop() {
		if s == nil || s.Complete() {
			s = New(Config{Blocks: million, Seed: 1})
			for p := range Peer(32) {
				s.Join(now, p, Traits{})
				if p < 16 {
					s.PeerHasAll(now, p)
				} else {
					for block := range million / 2 {
						s.PeerHas(now, p, block*2+int(p)%2)
					}
				}
				s.PeerChokes(now, p, false)
			}
		}
		for len(asked) == 0 {
			s.Orders(now, func(o Order) {
				if o.Kind == Request {
					asked = append(asked, o)
				}
			})
		}
		o := asked[0]
		asked = asked[1:]
		now += 12 * time.Microsecond
		s.Arrived(now, o.Peer, o.Block)
		s.Orders(now, func(o Order) {
			if o.Kind == Request {
				asked = append(asked, o)
			}
		})
	}
}

// BenchmarkGive measures what a block costs who gives it to one of 32 peers that ask.
func BenchmarkGive(b *testing.B) {
	benchmarkGive(b, Traits{}, 0)
}

// BenchmarkGiveFresh measures the same by credit.
func BenchmarkGiveFresh(b *testing.B) {
	benchmarkGive(b, Traits{Credits: true}, 64)
}

func benchmarkGive(b *testing.B, traits Traits, credit int) {
	var s *Scheduler
	var now time.Duration
	sent := million
	b.ReportAllocs()
	for b.Loop() {
		if sent == million {
			sent = 0
			have := make([]byte, million/8)
			for i := range have {
				have[i] = 0xff
			}
			s = New(Config{Blocks: million, Have: have, Seed: 1})
			for p := range Peer(32) {
				s.Join(now, p, traits)
				s.PeerCredit(now, p, credit)
				if credit == 0 {
					for block := range 64 {
						s.PeerWants(now, p, int(p)*million/32+block)
					}
				}
			}
		}
		now += 12 * time.Microsecond
		send, ok := s.Next(now, func(Peer) bool { return true })
		if !ok {
			b.Fatal("nothing to send")
		}
		sent++
		if credit == 0 {
			s.PeerWants(now, send.Peer, (send.Block+64)%million)
		} else {
			s.PeerHas(now, send.Peer, send.Block)
			s.PeerHas(now, (send.Peer+1)%32, send.Block)
		}
		s.Orders(now, func(Order) {})
	}
}
