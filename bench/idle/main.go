package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
)

// What an idle node of a group of 20 may cost.
const (
	memoryGoal  = 40.0   // MB
	trafficGoal = 1000.0 // bytes per second, sent and received
	cpuGoal     = 0.2    // percent of a core
)

func main() {
	measure.EnterNamespace()
	count := flag.Int("nodes", 20, "nodes in the group")
	settle := flag.Duration("settle", 10*time.Second, "after all have met, before measuring")
	lasts := flag.Duration("time", time.Minute, "of the measurement")
	harness.Main("idle", nil, func(ctx context.Context, b *harness.Bench) error {
		return run(ctx, b, *count, *settle, *lasts)
	})
}

func run(ctx context.Context, b *harness.Bench, count int, settle, lasts time.Duration) error {
	began := time.Now()
	nodes, err := b.Group(ctx, count)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d nodes met after %.1f s\n", count, time.Since(began).Seconds())
	if err := pause(ctx, settle); err != nil {
		return err
	}
	cpu, err := cpuTimes(nodes)
	if err != nil {
		return err
	}
	bytes, packets, counted := measure.Traffic()
	began = time.Now()
	if err := pause(ctx, lasts); err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	bytesAfter, packetsAfter, _ := measure.Traffic()
	cpuAfter, err := cpuTimes(nodes)
	if err != nil {
		return err
	}
	var shares, resident []float64
	for i, n := range nodes {
		shares = append(shares, 100*(cpuAfter[i]-cpu[i]).Seconds()/seconds)
		memory, err := measure.ResidentMemory(n.PID)
		if err != nil {
			return err
		}
		resident = append(resident, float64(memory)/1e6)
	}

	fmt.Printf("| one of %d idle nodes | mean | worst | goal | mean of the goal |\n|---|---:|---:|---:|---:|\n", count)
	row := func(what, unit string, mean, worst, goal float64) {
		fmt.Printf("| %s, %s | %.4g | %.4g | %g | %s |\n", what, unit, mean, worst, goal, measure.Ratio(mean, goal))
	}
	row("resident memory", "MB", mean(resident), slices.Max(resident), memoryGoal)
	row("processor", "% of a core", mean(shares), slices.Max(shares), cpuGoal)
	if counted {
		// What one sends another receives: a node's two directions together are
		// twice its share of what the interface sent.
		each := 2 / float64(count) / seconds
		row("sent and received", "bytes/s", float64(bytesAfter-bytes)*each, float64(bytesAfter-bytes)*each, trafficGoal)
		fmt.Printf("| the same | packets/s | %.3g | | | |\n", float64(packetsAfter-packets)*each)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func cpuTimes(nodes []*harness.Node) ([]time.Duration, error) {
	var times []time.Duration
	for _, n := range nodes {
		t, err := measure.CPUTime(n.PID)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	return times, nil
}
