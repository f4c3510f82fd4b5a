package mesh

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

const (
	// smallGroup is how many members a group may have for each of them to keep
	// a carrier to every other.
	smallGroup = 8

	spread   = 4 // the distance of each neighbour on the ring is that of the one before times this
	anchored = 2 // reachable members that a host keeps carriers to which is not reachable itself
)

// ringOf puts the members on the ring: an order that has nothing to do with when
// or by whom they were admitted, the same on every host.
func ringOf(genesis group.Hash, members []group.Member) []kith.ID {
	type seat struct {
		at [sha256.Size]byte
		id kith.ID
	}
	seats := make([]seat, len(members))
	for i, m := range members {
		seats[i] = seat{seatOf(genesis, m.ID), m.ID}
	}
	slices.SortFunc(seats, func(a, b seat) int { return bytes.Compare(a.at[:], b.at[:]) })
	ring := make([]kith.ID, len(seats))
	for i, s := range seats {
		ring[i] = s.id
	}
	return ring
}

func seatOf(genesis group.Hash, id kith.ID) [sha256.Size]byte {
	return sha256.Sum256(slices.Concat([]byte("kith ring 1\x00"), genesis[:], id[:]))
}

// neighbours returns the members that self keeps carriers to in a group on this
// ring, of which those are there that awake reports; self is always one of them.
//
// In a small group they are all the others, awake or not. In a larger one, for
// each of the distances 1, 4, 16, 64, ..., the last member awake before a
// distance and the first one after it are a pair of neighbours: ahead are the
// latter halves of self's pairs, behind the former. All pairs of distance 1
// together are a cycle of those awake; the others are short cuts. A host has at
// most two neighbours for each distance. As the distances are counted on the
// ring of all members, one that falls asleep changes the neighbours of few.
func neighbours(self kith.ID, ring []kith.ID, awake func(kith.ID) bool) (ahead, behind []kith.ID) {
	if len(ring) <= smallGroup {
		return slices.DeleteFunc(slices.Clone(ring), func(id kith.ID) bool { return id == self }), nil
	}
	at := slices.Index(ring, self)
	if at < 0 {
		return nil, nil
	}
	seek := func(from, step int) int {
		for i := 0; ; i += step {
			seat := mod(from+i, len(ring))
			if seat == at || awake(ring[seat]) {
				return seat
			}
		}
	}
	for distance := 1; distance < len(ring); distance *= spread {
		if to := seek(at+distance, 1); to != at && seek(to-distance, -1) == at {
			ahead = append(ahead, ring[to])
		}
		if from := seek(at-distance, -1); from != at && seek(from+distance, 1) == at {
			behind = append(behind, ring[from])
		}
	}
	return distinct(ahead), distinct(behind)
}

func mod(a, n int) int { return ((a % n) + n) % n }

// distinct removes repetitions.
func distinct(ids []kith.ID) []kith.ID {
	var list []kith.ID
	for _, id := range ids {
		if !slices.Contains(list, id) {
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
