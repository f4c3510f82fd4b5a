package mesh

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

const (
	// smallGroup is how many members a group may have for each of them to keep
	// a carrier to every other.
	smallGroup = 8

	spread        = 4 // each distance on the ring is that of the one before divided by this
	fewNeighbours = 2 // connected ones, fewer of which are not enough to hear everything from
	anchored      = 2 // reachable members that a host keeps carriers to which is not reachable itself
)

// A seat is a member's place on the ring: the numbers of 64 bits, of which the
// first follows the last. It has nothing to do with when or by whom the member
// was admitted, and is the same on every host.
type seat struct {
	at uint64
	id kith.ID
}

// ringOf returns the members by their seats.
func ringOf(genesis group.Hash, members []group.Member) []seat {
	ring := make([]seat, len(members))
	for i, m := range members {
		hash := sha256.Sum256(slices.Concat([]byte("kith ring 1\x00"), genesis[:], m.ID[:]))
		ring[i] = seat{binary.BigEndian.Uint64(hash[:]), m.ID}
	}
	slices.SortFunc(ring, func(a, b seat) int {
		return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.id[:], b.id[:]))
	})
	return ring
}

// neighbours returns the members that self keeps carriers to in a group on this
// ring, of which those are there that awake reports; self is always one of them.
//
// In a small group they are all the others, awake or not. In a larger one those
// awake are a cycle, each a neighbour of the next; and for each distance of a
// quarter of the ring, a sixteenth and so on, down to about one seat, the last
// member before a distance and the first one after it are a pair of neighbours,
// too. Ahead are the latter halves of self's pairs, behind the former. So a host
// has two neighbours at most for each distance, and who joins, leaves or falls
// asleep changes those of few.
func neighbours(self kith.ID, ring []seat, awake func(kith.ID) bool) (ahead, behind []kith.ID) {
	if len(ring) <= smallGroup {
		for _, s := range ring {
			if s.id != self {
				ahead = append(ahead, s.id)
			}
		}
		return ahead, nil
	}
	at := slices.IndexFunc(ring, func(s seat) bool { return s.id == self })
	if at < 0 {
		return nil, nil
	}
	seek := func(i, step int) int {
		for i = mod(i, len(ring)); i != at && !awake(ring[i].id); {
			i = mod(i+step, len(ring))
		}
		return i
	}
	after := func(point uint64) int { return seek(search(ring, point), 1) }
	before := func(point uint64) int { return seek(search(ring, point+1)-1, -1) }

	ahead, behind = []kith.ID{ring[seek(at+1, 1)].id}, []kith.ID{ring[seek(at-1, -1)].id}
	distance := uint64(1) << 62
	for n := spread; n <= len(ring); n *= spread {
		if to := after(ring[at].at + distance); before(ring[to].at-distance) == at {
			ahead = append(ahead, ring[to].id)
		}
		if from := before(ring[at].at - distance); after(ring[from].at+distance) == at {
			behind = append(behind, ring[from].id)
		}
		distance /= spread
	}
	return others(self, ahead), others(self, behind)
}

// search returns the first seat at or after a point; len(ring) is the first
// seat of all.
func search(ring []seat, point uint64) int {
	i, _ := slices.BinarySearchFunc(ring, point, func(s seat, point uint64) int { return cmp.Compare(s.at, point) })
	return i
}

func mod(a, n int) int { return ((a % n) + n) % n }

// others removes self and repetitions.
func others(self kith.ID, ids []kith.ID) []kith.ID {
	var list []kith.ID
	for _, id := range ids {
		if id != self && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// A choice is a member that can be reached by others, as a relay or an anchor.
type choice struct {
	id    kith.ID
	held  bool          // it is chosen already
	up    bool          // there is a direct carrier to it
	rtt   time.Duration // 0: not known
	order [sha256.Size]byte
}

// choose returns at most n of the choices: those that are chosen already, so
// that records are stable and carriers last; then those with a carrier, the
// nearest first; then in an order that is another on every host, so that they
// share the load.
func choose(choices []choice, n int) []kith.ID {
	slices.SortFunc(choices, func(a, b choice) int {
		return cmp.Or(first(a.held, b.held), first(a.up, b.up), first(a.rtt > 0, b.rtt > 0),
			cmp.Compare(a.rtt, b.rtt), bytes.Compare(a.order[:], b.order[:]))
	})
	var ids []kith.ID
	for _, c := range choices[:min(n, len(choices))] {
		ids = append(ids, c.id)
	}
	return ids
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// orderOf is where a member stands in the order of choices of self.
func orderOf(self, id kith.ID) [sha256.Size]byte {
	return sha256.Sum256(slices.Concat([]byte("kith choice 1\x00"), self[:], id[:]))
}
