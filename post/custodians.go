package post

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"kith.alt/kith"
)

// custodians returns candidates in the order in which they are to hold a letter:
// weighted rendezvous hashing (Thaler and Ravishankar 1998; with weights as in
// Schindelhauer and Schomaker 2005), so that hosts that know the same members choose the same ones, a member
// that comes or goes moves only its own share, and twice the weight draws
// twice the letters.
func custodians(k key, candidates []kith.ID, weight func(kith.ID) float64) []kith.ID {
	type scored struct {
		id    kith.ID
		score float64
	}
	list := make([]scored, 0, len(candidates))
	seed := append(append([]byte("kith custodian 1\x00"), k.from[:]...), k.letter[:]...)
	for _, id := range candidates {
		sum := sha256.Sum256(append(seed, id[:]...))
		u := (float64(binary.BigEndian.Uint64(sum[:])>>11) + 0.5) / (1 << 53) // between 0 and 1
		list = append(list, scored{id, -weight(id) / math.Log(u)})
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), slices.Compare(a.id[:], b.id[:]))
	})
	order := make([]kith.ID, len(list))
	for i, s := range list {
		order[i] = s.id
	}
	return order
}
