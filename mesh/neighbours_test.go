package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/group"
)

func ringOfSize(r *rand.Rand, n int) []seat {
	members := make([]group.Member, n)
	for i := range members {
		for j := range members[i].ID {
			members[i].ID[j] = byte(r.Uint32())
		}
	}
	return ringOf(group.Hash{}, members)
}

// subset returns a random subset of the ring in one of several shapes: spread
// evenly, or in runs.
func subset(r *rand.Rand, ring []seat) map[kith.ID]bool {
	awake := make(map[kith.ID]bool)
	share, runs := r.Float64(), r.IntN(2) == 0
	on := false
	for _, s := range ring {
		if !runs || r.IntN(8) == 0 {
			on = r.Float64() < share
		}
		awake[s.id] = on
	}
	if len(awake) > 0 {
		awake[ring[r.IntN(len(ring))].id] = true
	}
	return awake
}

// graph is who is a neighbour of whom among those awake, by everybody's own
// reckoning.
func graph(ring []seat, awake map[kith.ID]bool) map[kith.ID][]kith.ID {
	graph := make(map[kith.ID][]kith.ID)
	for _, s := range ring {
		if id := s.id; awake[id] {
			ahead, behind := neighbours(id, ring, func(id kith.ID) bool { return awake[id] })
			graph[id] = others(id, slices.Concat(ahead, behind))
		}
	}
	return graph
}

// distances returns how many members are reached from one, and by how many
// steps the farthest.
func distances(graph map[kith.ID][]kith.ID, from kith.ID) (reached, farthest int) {
	steps := map[kith.ID]int{from: 0}
	for queue := []kith.ID{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range graph[queue[0]] {
			if _, seen := steps[next]; !seen {
				steps[next] = steps[queue[0]] + 1
				farthest = max(farthest, steps[next])
				queue = append(queue, next)
			}
		}
	}
	return len(steps), farthest
}

// scales is 1 + floor(log4 n): how many distances a ring has, that of the next
// member included.
func scales(n int) int {
	k := 0
	for ; n > 0; n /= spread {
		k++
	}
	return k
}

func TestNeighboursProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 400 {
		n := smallGroup + 1 + r.IntN(250)
		ring := ringOfSize(r, n)
		awake := subset(r, ring)
		graph := graph(ring, awake)
		for id, list := range graph {
			if len(list) > 2*scales(n) {
				t.Fatalf("round %d: %d neighbours in a group of %d, at most %d", round, len(list), n, 2*scales(n))
			}
			for _, other := range list {
				if other == id || !awake[other] {
					t.Fatalf("round %d: a neighbour is the host itself, or asleep", round)
				}
				if !slices.Contains(graph[other], id) {
					t.Fatalf("round %d: one is a neighbour of the other and not the other of the one", round)
				}
			}
		}
		for id := range graph {
			if reached, _ := distances(graph, id); reached != len(graph) {
				t.Fatalf("round %d: %d of %d members are connected", round, reached, len(graph))
			}
			break
		}
	}
}

func TestNeighboursOfSmallGroup(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= smallGroup; n++ {
		ring := ringOfSize(r, n)
		ahead, behind := neighbours(ring[0].id, ring, func(kith.ID) bool { return false })
		if len(ahead) != n-1 || len(behind) != 0 || slices.Contains(ahead, ring[0].id) {
			t.Errorf("group of %d: neighbours %d and %d, want all others", n, len(ahead), len(behind))
		}
	}
}

// TestNeighboursFew states what the shape costs and gives.
func TestNeighboursFew(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		n, awake      int
		degree, steps int // at most
	}{
		{9, 9, 4, 3}, {40, 40, 6, 6}, {200, 200, 8, 8}, {200, 100, 8, 8}, {200, 20, 8, 6}, {1000, 1000, 10, 10},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.awake, c.n), func(t *testing.T) {
			ring := ringOfSize(r, c.n)
			awake := make(map[kith.ID]bool)
			for _, i := range r.Perm(c.n)[:c.awake] {
				awake[ring[i].id] = true
			}
			graph := graph(ring, awake)
			sum, degree, steps := 0, 0, 0
			for id, list := range graph {
				sum += len(list)
				degree = max(degree, len(list))
				_, far := distances(graph, id)
				steps = max(steps, far)
			}
			t.Logf("neighbours: %d at most, %.1f in the mean; %d steps to the farthest", degree, float64(sum)/float64(len(graph)), steps)
			if degree > c.degree || steps > c.steps {
				t.Errorf("%d neighbours, %d steps; want at most %d and %d", degree, steps, c.degree, c.steps)
			}
		})
	}
}

// TestNeighboursChangeLittle shows that a member that falls asleep, or one that
// joins, does not move everybody's carriers.
func TestNeighboursChangeLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	ring := ringOfSize(r, 200)
	awake := make(map[kith.ID]bool)
	for _, s := range ring {
		awake[s.id] = r.IntN(2) == 0
	}
	all := graph(ring, awake)
	sleeps, joins := 0, 0
	for i, s := range ring {
		if !awake[s.id] {
			continue
		}
		awake[s.id] = false
		without := graph(ring, awake)
		sleeps = max(sleeps, added(all, without))
		joins = max(joins, added(graph(slices.Delete(slices.Clone(ring), i, i+1), awake), all))
		awake[s.id] = true
	}
	t.Logf("new carriers in the whole group: %d at most when one member sleeps, %d when one joins", sleeps, joins)
	if most := 4 * scales(len(ring)); sleeps > most || joins > most {
		t.Errorf("want at most %d", most)
	}
}

// added counts the pairs of neighbours that after has and before has not.
func added(before, after map[kith.ID][]kith.ID) int {
	n := 0
	for id, list := range after {
		for _, other := range list {
			if !slices.Contains(before[id], other) {
				n++
			}
		}
	}
	return n / 2
}
