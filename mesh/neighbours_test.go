package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kith.alt/kith"
)

func ringOfSize(r *rand.Rand, n int) []kith.ID {
	ring := make([]kith.ID, n)
	for i := range ring {
		for j := range ring[i] {
			ring[i][j] = byte(r.Uint32())
		}
	}
	return ring
}

// subset returns a random subset of the ring in one of several shapes: spread
// evenly, or in runs.
func subset(r *rand.Rand, ring []kith.ID) map[kith.ID]bool {
	awake := make(map[kith.ID]bool)
	share, runs := r.Float64(), r.IntN(2) == 0
	on := false
	for _, id := range ring {
		if !runs || r.IntN(8) == 0 {
			on = r.Float64() < share
		}
		awake[id] = on
	}
	if len(awake) > 0 {
		awake[ring[r.IntN(len(ring))]] = true
	}
	return awake
}

// graph is who is a neighbour of whom among those awake, by everybody's own
// reckoning.
func graph(ring []kith.ID, awake map[kith.ID]bool) map[kith.ID][]kith.ID {
	graph := make(map[kith.ID][]kith.ID)
	for _, id := range ring {
		if awake[id] {
			ahead, behind := neighbours(id, ring, func(id kith.ID) bool { return awake[id] })
			graph[id] = distinct(slices.Concat(ahead, behind))
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

// scales is ceil(log4 n): how many distances a ring has.
func scales(n int) int {
	k := 0
	for distance := 1; distance < n; distance *= spread {
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
		ahead, behind := neighbours(ring[0], ring, func(kith.ID) bool { return false })
		if len(ahead) != n-1 || len(behind) != 0 || slices.Contains(ahead, ring[0]) {
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
		{9, 9, 4, 2}, {40, 40, 6, 4}, {200, 200, 8, 5}, {200, 100, 8, 6}, {200, 20, 8, 6}, {1000, 1000, 10, 7},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.awake, c.n), func(t *testing.T) {
			ring := ringOfSize(r, c.n)
			awake := make(map[kith.ID]bool)
			for _, i := range r.Perm(c.n)[:c.awake] {
				awake[ring[i]] = true
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

// TestNeighboursChangeLittle shows that one member that falls asleep does not
// move everybody's carriers.
func TestNeighboursChangeLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	ring := ringOfSize(r, 200)
	awake := make(map[kith.ID]bool)
	for _, id := range ring {
		awake[id] = r.IntN(2) == 0
	}
	before := graph(ring, awake)
	worst := 0
	for id := range before {
		awake[id] = false
		changed := 0
		for other, list := range graph(ring, awake) {
			for _, n := range list {
				if !slices.Contains(before[other], n) {
					changed++
				}
			}
		}
		awake[id] = true
		worst = max(worst, changed/2)
	}
	t.Logf("new carriers in the whole group when one member sleeps: %d at most", worst)
	if worst > 4*scales(len(ring)) {
		t.Errorf("%d new carriers, want at most %d", worst, 4*scales(len(ring)))
	}
}
