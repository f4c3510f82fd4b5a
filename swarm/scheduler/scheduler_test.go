package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// check compares all that is counted along the way with what it counts.
func check(t testing.TB, s *Scheduler) {
	t.Helper()
	available := make([]uint16, s.blocks)
	asked := 0
	for _, p := range s.peers {
		if s.byName[p.name] != p {
			t.Fatalf("peer %d is not the one of that name", p.name)
		}
		if p.all && p.bits != nil || p.count != p.bits.count() {
			t.Fatalf("peer %d: all %v, %d blocks, counted %d", p.name, p.all, p.bits.count(), p.count)
		}
		interesting := 0
		p.bits.each(func(block int) {
			available[block]++
			if s.needed.has(block) {
				interesting++
			}
		})
		if interesting != p.interesting {
			t.Fatalf("peer %d has %d blocks that are needed, counted %d", p.name, interesting, p.interesting)
		}
		for _, r := range p.asked {
			asked++
			if s.asked[r.block] != p || s.have.has(int(r.block)) || !p.has(int(r.block)) {
				t.Fatalf("block %d is asked of peer %d in vain", r.block, p.name)
			}
		}
		under, backlog := 0, 0
		for _, g := range s.given {
			if g.to == p && !g.arrived {
				under++
			}
			if g.to == p && !g.relayed {
				backlog++
			}
		}
		if under != p.under || backlog != p.backlog {
			t.Fatalf("peer %d: %d given under way, counted %d; %d to relay, counted %d", p.name, under, p.under, backlog, p.backlog)
		}
		for i, block := range p.wants {
			if !s.have.has(int(block)) || slices.Contains(p.wants[:i], block) {
				t.Fatalf("peer %d waits for block %d, which is not here or waited for twice", p.name, block)
			}
		}
		if len(p.wants) > s.wants || len(p.asked) > s.requests || p.heard < s.news.first || p.heard > s.news.end() {
			t.Fatalf("peer %d: %d wanted, %d asked, heard %d of %d to %d", p.name, len(p.wants), len(p.asked), p.heard, s.news.first, s.news.end())
		}
	}
	if len(s.peers) != len(s.byName) || asked != len(s.asked) {
		t.Fatalf("%d peers of %d names, %d asked of %d", len(s.peers), len(s.byName), asked, len(s.asked))
	}
	fresh := s.blocks
	for block, n := range s.available {
		if n != available[block] {
			t.Fatalf("block %d is with %d peers, counted %d", block, available[block], n)
		}
		if n > 0 {
			fresh--
		}
	}
	if fresh != s.fresh || s.unasked != s.needed.count() || s.lacking != s.blocks-s.have.count() {
		t.Fatalf("fresh %d, counted %d; needed %d, counted %d; lacking %d, counted %d", fresh, s.fresh, s.needed.count(), s.unasked, s.blocks-s.have.count(), s.lacking)
	}
	for block := range s.blocks {
		if needed := !s.have.has(block) && s.asked[int32(block)] == nil; needed != s.needed.has(block) {
			t.Fatalf("block %d needed: %v", block, s.needed.has(block))
		}
	}
	for block, g := range s.given {
		if s.byName[g.to.name] != g.to || g.arrived && g.relayed || !g.to.has(int(block)) {
			t.Fatalf("block %d is given to somebody who left, or is done with", block)
		}
	}
}

// conversation has a scheduler live through events that bytes choose, as a
// peer would that keeps to no rules, and checks it after each.
func conversation(t testing.TB, events []byte) {
	next := func() int {
		if len(events) == 0 {
			return 0
		}
		b := events[0]
		events = events[1:]
		return int(b)
	}
	blocks := next() % 70
	var have []byte
	if next()%2 == 0 {
		have = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	s := New(Config{Blocks: blocks, Have: have, Group: next() % 9, Wants: 7, Seed: 1})
	asked := make(map[int]Peer)
	var now time.Duration
	for len(events) > 0 {
		now += time.Duration(next()) * 5 * time.Millisecond
		what, peer, block := next(), Peer(next()%5), next()%(blocks+2)-1
		switch what % 20 {
		case 0:
			s.Join(now, peer, Traits{Near: what&64 != 0, Credits: what&128 != 0})
			for block, p := range asked {
				if p == peer {
					delete(asked, block)
				}
			}
		case 1:
			s.Leave(now, peer)
			for block, p := range asked {
				if p == peer {
					delete(asked, block)
				}
			}
		case 2:
			s.PeerHasAll(now, peer)
		case 3:
			s.PeerHasBitmap(now, peer, slices.Clone(events[:min(len(events), 5)]))
		case 4, 5:
			s.PeerHas(now, peer, block)
		case 6:
			s.PeerChokes(now, peer, what&64 != 0)
			if what&64 != 0 {
				for block, p := range asked {
					if p == peer {
						delete(asked, block)
					}
				}
			}
		case 7, 8:
			s.PeerWants(now, peer, block)
		case 9:
			s.PeerUnwants(now, peer, block)
		case 10:
			s.PeerCredit(now, peer, block)
		case 11:
			s.PeerRefused(now, peer, block)
			if asked[block] == peer {
				delete(asked, block)
			}
		case 12, 13:
			s.Arrived(now, peer, block)
			delete(asked, block)
		case 14:
			s.Wrong(now, peer, block)
			if asked[block] == peer {
				delete(asked, block)
			}
		case 15:
			s.Lost(now, block)
		case 16:
			s.Want(now, block, next(), now+time.Second)
		case 17:
			s.Unwant()
		case 18, 19:
			send, ok := s.Next(now, func(p Peer) bool { return int(p) != block })
			if ok && (!s.have.has(send.Block) || int(send.Peer) == block) {
				t.Fatalf("block %d is sent to peer %d", send.Block, send.Peer)
			}
			if ok && what&64 != 0 {
				s.Unsent(now, send)
			}
		}
		s.Orders(now, func(o Order) {
			if s.byName[o.Peer] == nil {
				t.Fatalf("an order to peer %d, who is not here: %v", o.Peer, o.Kind)
			}
			switch o.Kind {
			case Request:
				if other, ok := asked[o.Block]; ok {
					t.Fatalf("block %d is asked of peer %d and of %d", o.Block, other, o.Peer)
				}
				asked[o.Block] = o.Peer
			case Cancel:
				if other, ok := asked[o.Block]; ok && other == o.Peer {
					delete(asked, o.Block)
				}
			}
		})
		if s.Wake() < now {
			t.Fatalf("wake at %v, it is %v", s.Wake(), now)
		}
		check(t, s)
	}
}

func FuzzScheduler(f *testing.F) {
	f.Add([]byte{40, 0, 3, 1, 0x80, 0, 0, 1, 10, 0, 9, 1, 18, 0, 9, 1, 4, 0, 1})
	f.Add([]byte{40, 1, 3, 1, 0x80, 0, 0, 1, 2, 0, 9, 1, 6, 0, 9, 1, 12, 0, 1})
	f.Fuzz(func(t *testing.T, events []byte) { conversation(t, events) })
}

func TestConversations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		events := make([]byte, 4+random.IntN(400))
		for i := range events {
			events[i] = byte(random.Uint32())
		}
		conversation(t, events)
	}
}
