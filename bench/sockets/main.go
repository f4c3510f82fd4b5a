package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
)

const goal = 0.9 // of the bare copy

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 7, "rounds; the median of throughput counts")
	flag.DurationVar(&o.lasts, "time", time.Second, "of each measurement of throughput")
	flag.IntVar(&o.calls, "calls", 3000, "round trips on an open socket")
	flag.IntVar(&o.opens, "opens", 300, "sockets to open")
	flag.StringVar(&o.only, "only", "", "measure ways whose name contains this")
	harness.Main("sockets", map[string]harness.Role{"copier": copier}, func(ctx context.Context, b *harness.Bench) error {
		return run(ctx, b, o)
	})
}

type options struct {
	rounds, calls, opens int
	lasts                time.Duration
	only                 string
}

// A row is what was measured of a way.
type row struct {
	one, eight   []float64 // MiB/s, by round
	trips, opens []time.Duration
}

func run(ctx context.Context, b *harness.Bench, o options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, err := ways(ctx, b)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(w way) bool { return !strings.Contains(w.name, o.only) })
	rows := make(map[string]*row)
	for range o.rounds {
		for _, w := range list {
			if rows[w.name] == nil {
				rows[w.name] = new(row)
			}
			if err := round(ctx, w, o, rows[w.name]); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	report(list, rows)
	return nil
}

func round(ctx context.Context, w way, o options, r *row) error {
	for _, m := range []struct {
		streams int
		to      *[]float64
	}{{1, &r.one}, {8, &r.eight}} {
		rate, err := throughput(ctx, w, m.streams, o.lasts)
		if err != nil {
			return err
		}
		*m.to = append(*m.to, rate)
	}
	trips, err := roundTrips(ctx, w, o.calls/o.rounds)
	if err != nil {
		return err
	}
	opens, err := firstReplies(ctx, w, o.opens/o.rounds)
	if err != nil {
		return err
	}
	r.trips, r.opens = append(r.trips, trips...), append(r.opens, opens...)
	return nil
}

func report(list []way, rows map[string]*row) {
	against := func(w way, of func(*row) []float64) string {
		rates := of(rows[w.name])
		text := fmt.Sprintf("%.0f", measure.Median(rates))
		if peer := rows[w.peer]; peer != nil {
			text += " (" + measure.Ratios(rates, of(peer)) + ")"
		}
		return text
	}
	fmt.Println("| way | 1 stream, MiB/s (of its bare copy) | 8 streams | goal | 64-byte round trip p50/p99 | open to first reply p50/p99 |")
	fmt.Println("|---|---:|---:|---:|---:|---:|")
	for _, w := range list {
		aim := ""
		if w.peer != "" {
			aim = fmt.Sprint(goal)
		}
		r := rows[w.name]
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", w.name,
			against(w, func(r *row) []float64 { return r.one }), against(w, func(r *row) []float64 { return r.eight }),
			aim, measure.Times(r.trips), measure.Times(r.opens))
	}
}
