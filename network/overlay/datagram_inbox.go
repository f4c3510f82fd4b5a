package overlay

import "kith.alt/kith"

// A received datagram waits to be read.
type received struct {
	payload []byte
	from    kith.Sender
}

func (r received) size() int { return len(r.payload) + datagramOverhead }

// An inbox holds the datagrams of a socket that were not read yet. Its peers
// take turns, and share its room: when it is full, the peer that has most in it
// loses its newest.
type inbox struct {
	bytes int
	peers map[kith.ID]*share
	turns []*share // those with datagrams; the first is next
}

// A share is what one peer has in an inbox.
type share struct {
	peer    kith.ID
	waiting []received
	bytes   int
}

const inboxBytes = 512 << 10 // of datagrams, each counted with datagramOverhead

func newInbox() inbox { return inbox{peers: make(map[kith.ID]*share)} }

// dropped says what put had no room for.
type dropped struct {
	itself bool // what was put
	others int
}

func (b *inbox) put(r received) (d dropped) {
	s := b.peers[r.from.ID]
	if s == nil {
		s = &share{peer: r.from.ID}
	}
	for b.bytes+r.size() > inboxBytes {
		greediest := s
		for _, other := range b.turns {
			if other.bytes > greediest.bytes {
				greediest = other
			}
		}
		if greediest == s || len(greediest.waiting) == 1 {
			d.itself = true
			return d
		}
		b.dropNewest(greediest)
		d.others++
	}
	if len(s.waiting) == 0 {
		b.peers[s.peer] = s
		b.turns = append(b.turns, s)
	}
	s.waiting = append(s.waiting, r)
	s.bytes += r.size()
	b.bytes += r.size()
	return d
}

// dropNewest takes from a share that has more than one.
func (b *inbox) dropNewest(s *share) {
	last := len(s.waiting) - 1
	b.bytes -= s.waiting[last].size()
	s.bytes -= s.waiting[last].size()
	s.waiting[last] = received{}
	s.waiting = s.waiting[:last]
}

// take returns the oldest datagram of the peer whose turn it is.
func (b *inbox) take() (received, bool) {
	if len(b.turns) == 0 {
		return received{}, false
	}
	s := b.turns[0]
	b.turns[0] = nil
	b.turns = b.turns[1:]
	r := s.waiting[0]
	s.waiting[0] = received{}
	s.waiting = s.waiting[1:]
	s.bytes -= r.size()
	b.bytes -= r.size()
	if len(s.waiting) > 0 {
		b.turns = append(b.turns, s)
	} else {
		delete(b.peers, s.peer)
	}
	return r, true
}
