package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"kith.alt/kith/bench/measure"
)

// What the overlay is to reach on one stream and on eight, as shares of what it
// stands beside.
var goals = map[string]float64{overTLS: 0.8, overQUIC: 0.95}

func main() {
	var o measure.Options
	flag.IntVar(&o.Rounds, "rounds", 5, "rounds of throughput; the median counts")
	flag.DurationVar(&o.Time, "time", 2*time.Second, "of each throughput measurement")
	flag.IntVar(&o.Calls, "calls", 5000, "round trips to measure")
	flag.IntVar(&o.Opens, "opens", 1000, "streams to open")
	only := flag.String("only", "", "measure engines whose name contains this")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if err := run(o, *only, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench/overlay:", err)
		os.Exit(1)
	}
}

func run(o measure.Options, only, profile string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := new(measure.Server)
	list, relays, err := ways(ctx, server)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(w measure.Way) bool { return !strings.Contains(w.Name, only) })
	if profile != "" {
		file, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	rows, err := server.Measure(ctx, list, o)
	if err != nil {
		return err
	}
	measure.Report(rows, goals)
	fmt.Println()
	return limited(ctx, server, list, relays, o)
}
