package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
)

// A side is one of the two that are compared.
type side interface {
	name() string
	smtp() string // address
	imap() string
	credentials(person int) (user, password string) // of the first person, 0, is the mailbox that is measured
	recipient() string
	signsIn() bool // senders have to
	processes() ([]int, error)
}

// A figure is what a measurement gives: more is better where it is a rate, else less.
type figure struct {
	what, unit string
	rate       bool
}

// results are the values of figures, by side.
type results struct {
	order  []figure
	values map[figure]map[string][]float64
}

func (r *results) add(f figure, s side, value float64) {
	if r.values[f] == nil {
		r.values[f] = make(map[string][]float64)
		r.order = append(r.order, f)
	}
	r.values[f][s.name()] = append(r.values[f][s.name()], value)
}

func (r *results) print(ours, peer side) {
	fmt.Printf("| | %s | %s | kith's share |\n|---|---:|---:|---:|\n", ours.name(), peer.name())
	for _, f := range r.order {
		mine, other := measure.Median(r.values[f][ours.name()]), measure.Median(r.values[f][peer.name()])
		share := mine / other
		if !f.rate {
			share = other / mine
		}
		mark := ""
		if share < 1 {
			mark = " (behind)"
		}
		fmt.Printf("| %s, %s | %.4g | %.4g | %.2f%s |\n", f.what, f.unit, mine, other, share, mark)
	}
}

func main() {
	rounds := flag.Int("rounds", 3, "`N` rounds of each measurement")
	mailbox := flag.Int("mailbox", 10_000, "`N` messages in the mailbox that is read")
	idle := flag.Int("idle", 1000, "`N` idle connections, at most 1000")
	only := flag.String("only", "", "measure one `PART`: submission, imap or memory")
	harness.Main("mail", nil, func(ctx context.Context, b *harness.Bench) error {
		return run(ctx, b, *rounds, *mailbox, *idle, *only)
	})
}

func run(ctx context.Context, b *harness.Bench, rounds, mailbox, idle int, only string) error {
	ours, err := startKith(ctx, b)
	if err != nil {
		return err
	}
	peer, err := startPair(ctx, b)
	if err != nil {
		return err
	}
	sides := []side{ours, peer}
	r := &results{values: make(map[figure]map[string][]float64)}
	turns := func(rounds int, do func(side, int) error) error {
		for round := range rounds {
			turn := slices.Clone(sides)
			if round%2 == 1 {
				slices.Reverse(turn)
			}
			for _, s := range turn {
				if err := do(s, round); err != nil {
					return fmt.Errorf("%s: %w", s.name(), err)
				}
			}
		}
		return nil
	}
	idle = min(idle, (persons-1)*idleEach)
	part := func(name string) bool { return cmp.Or(only, name) == name }
	if part("submission") {
		for _, senders := range []int{1, 8, 32} {
			fmt.Fprintf(os.Stderr, "submission by %d\n", senders)
			err := turns(rounds, func(s side, _ int) error { return measureSubmission(ctx, s, senders, r) })
			if err != nil {
				return err
			}
		}
	}
	if part("imap") {
		fmt.Fprintln(os.Stderr, "filling mailboxes")
		if err := turns(1, func(s side, _ int) error { return fill(ctx, s, mailbox) }); err != nil {
			return err
		}
	}
	if part("imap") {
		fmt.Fprintln(os.Stderr, "IMAP")
		if err := turns(rounds, func(s side, round int) error { return measureIMAP(ctx, s, mailbox, round, r) }); err != nil {
			return err
		}
	}
	if part("memory") {
		fmt.Fprintln(os.Stderr, "memory")
		if err := turns(1, func(s side, _ int) error { return measureMemory(ctx, s, idle, r) }); err != nil {
			return err
		}
	}
	r.print(ours, peer)
	return nil
}
