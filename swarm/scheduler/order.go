package scheduler

import (
	"fmt"
	"time"
)

// Kinds of orders. All but Report and Expel are messages to the peer.
const (
	Request Kind = iota // send us Block (BEP 3)
	Cancel              // Block is not asked for any longer (BEP 3)
	Have                // Block is here (BEP 3)
	Reject              // Block is not sent (BEP 6)
	Choke               // requests are not answered: blocks come by credit; what a joining peer starts with (BEP 3)
	Unchoke             // requests are answered (BEP 3)
	Credit              // up to Count blocks of your choice may be under way to us
	Report              // no message: the peer again and again sends nothing that it announced; it is asked for little, and rarely
	Expel               // no message: the peer sends wrong blocks; the caller ends the socket, and calls Leave
)

// A Kind is what an [Order] is.
type Kind int

var kinds = [...]string{"request", "cancel", "have", "reject", "choke", "unchoke", "credit", "report", "expel"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds) {
		return fmt.Sprint("order ", int(k))
	}
	return kinds[k]
}

// An Order is what to tell a peer now. What may wait is held back by the
// scheduler, so that orders to a peer come in few batches, with blocks that go to it
// where there are some.
type Order struct {
	Kind   Kind
	Peer   Peer
	Block  int    // of Request, Cancel, Have, Reject
	Count  int    // of Credit
	Reason string // of Report and Expel, as the end of a sentence: "announced blocks and did not send them"
}

// How long announcements wait for company.
const (
	holdIdle = 3 * time.Millisecond   // while nobody asks us for anything: others are to learn what to ask for,
	holdSlow = 40 * time.Millisecond  // but longer where blocks come slowly: until a few did
	holdSeed = 30 * time.Millisecond  // to a peer that has everything and chooses what to send
	holdBusy = 300 * time.Millisecond // while the uplink is in use
	holdDone = time.Second            // to a peer that has everything and is asked
)

// Orders hands out what to tell peers now. The caller calls it after it has told the
// scheduler what happened, after Next, and at Wake. Within give it must not call
// the scheduler.
func (s *Scheduler) Orders(now time.Duration, give func(Order)) {
	s.wake = Never
	s.stalled(now)
	s.unchoke()
	s.giveCredit()
	s.fill(now)
	s.move(now)
	for _, o := range s.orders {
		give(o)
	}
	s.orders = s.orders[:0]
	s.announce(now, give)
}

// Wake returns when Orders is to be called again though nothing happens, or [Never].
func (s *Scheduler) Wake() time.Duration { return s.wake }

func (s *Scheduler) wakeAt(at time.Duration) { s.wake = min(s.wake, at) }

func (s *Scheduler) order(kind Kind, p *peer, block int) {
	s.orders = append(s.orders, Order{Kind: kind, Peer: p.name, Block: block})
	p.sending = true
}

// unchoke lets peers ask, unless they take by credit and something is fresh. Who
// was unchoked stays so.
func (s *Scheduler) unchoke() {
	pushing := s.lacking == 0 && s.fresh > 0
	for _, p := range s.peers {
		if p.choked && !(pushing && p.traits.Credits && !p.complete(s)) {
			p.choked = false
			s.order(Unchoke, p, 0)
		}
	}
}

// giveCredit lets peers send what they choose, where they have everything and
// answer no requests.
func (s *Scheduler) giveCredit() {
	if s.lacking == 0 {
		return
	}
	for _, p := range s.peers {
		if !p.choking || !p.traits.Credits || p.wrong >= suspicious || !p.complete(s) {
			continue
		}
		n := min(startCredit+int(4*ahead/p.gap), 4*s.requests)
		if n >= 2*p.credit || n <= p.credit/4 {
			p.credit = n
			s.orders = append(s.orders, Order{Kind: Credit, Peer: p.name, Count: n})
		}
	}
}

const startCredit = 128 // blocks

// announcements are the blocks that arrived, in order. Each peer has its place in it.
type announcements struct {
	first int // number of entries that were dropped
	list  []announcement
}

type announcement struct {
	block int32
	at    time.Duration
}

func (a *announcements) end() int { return a.first + len(a.list) }

// announce tells peers which blocks arrived: with what goes there anyway, when a
// part of the credit is used up, or after a while.
func (s *Scheduler) announce(now time.Duration, give func(Order)) {
	hold := holdBusy
	if s.idle() {
		hold = min(max(holdIdle, 3*s.pace), holdSlow)
	}
	oldest := s.news.end()
	for _, p := range s.peers {
		if p.heard < s.news.end() {
			news := s.news.list[p.heard-s.news.first:]
			complete := p.complete(s) // what it gives next depends on what we have
			at := news[0].at + hold
			if complete && p.choking {
				at = news[0].at + min(hold, holdSeed)
			} else if complete {
				at = news[0].at + holdDone
			}
			if p.sending || now >= at || p.unheard > 0 && p.unheard >= p.credit/4 {
				for _, n := range news {
					if s.have.has(int(n.block)) && (complete || !p.has(int(n.block))) {
						give(Order{Kind: Have, Peer: p.name, Block: int(n.block)})
					}
				}
				p.heard, p.unheard = s.news.end(), 0
			} else {
				s.wakeAt(at)
			}
		}
		p.sending = false
		oldest = min(oldest, p.heard)
	}
	s.news.drop(oldest)
}

// drop forgets what all peers were told.
func (a *announcements) drop(oldest int) {
	if told := oldest - a.first; told == len(a.list) || told > 256 && told > len(a.list)/2 {
		a.list = append(a.list[:0], a.list[told:]...)
		a.first = oldest
	}
}

// idle reports whether nobody waits for blocks of ours.
func (s *Scheduler) idle() bool {
	for _, p := range s.peers {
		if len(p.wants) > 0 {
			return false
		}
	}
	return true
}
