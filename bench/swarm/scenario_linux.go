package main

import (
	"fmt"
	"time"

	"kith.alt/kith/kithtest/netlab"
)

// A scenario is a seed and takers on links of some rate, and the multiple of the
// bound that kith is to keep below. The rates are the raw ones of the links: what
// headers cost counts against who is measured, so that nothing over TCP gets below 1.046
// where the seed's link is the bottleneck, nor below 1.068 where all are.
type scenario struct {
	netlab.Swarm
	goal float64
}

var (
	ten    = netlab.Rates{Up: 10 * netlab.Mbit, Down: 50 * netlab.Mbit}
	twenty = netlab.Rates{Up: 20 * netlab.Mbit, Down: 50 * netlab.Mbit}
	five   = netlab.Rates{Up: 5 * netlab.Mbit, Down: 50 * netlab.Mbit}
)

var scenarios = []scenario{
	{netlab.Swarm{Name: "equal 4", Seed: ten, Taker: ten, Takers: 4}, 1.08},
	{netlab.Swarm{Name: "equal 8", Seed: ten, Taker: ten, Takers: 8}, 1.08},
	{netlab.Swarm{Name: "equal 16", Seed: ten, Taker: ten, Takers: 16}, 1.08},
	{netlab.Swarm{Name: "home 8", Seed: twenty, Taker: five, Takers: 8}, 1.10},
	{netlab.Swarm{Name: "home 16", Seed: twenty, Taker: five, Takers: 16}, 1.10},
	{netlab.Swarm{Name: "churn 12", Seed: ten, Taker: ten, Takers: 12, Late: 4, LateBy: 10 * time.Second, Absence: 5 * time.Second}, 1.15},
}

// comes is when a taker does, the first of which is number 0: the last ones are late.
func (s scenario) comes(taker int) time.Duration {
	if taker >= s.Takers-s.Late {
		return s.LateBy
	}
	return 0
}

// links says what there is, for a row of a table.
func (s scenario) links() string {
	text := fmt.Sprintf("%d, %d", s.Seed.Up/netlab.Mbit, s.Taker.Up/netlab.Mbit)
	if s.Late > 0 {
		text += fmt.Sprintf("; %d come %v late", s.Late, s.LateBy)
	}
	if s.Absence > 0 {
		text += fmt.Sprintf("; one is away for %v", s.Absence)
	}
	return text
}
