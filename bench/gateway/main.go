package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"kith.alt/kith/bench/harness"
)

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median counts")
	flag.DurationVar(&o.lasts, "time", 3*time.Second, "of each measurement")
	flag.IntVar(&o.connections, "connections", 16, "that wrk keeps busy")
	flag.StringVar(&o.only, "only", "", "measure servers whose name contains this")
	profile := flag.String("cpuprofile", "", "write a CPU profile of all servers but nginx to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := profiled(*profile, func() error { return run(ctx, o) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench/gateway:", err)
		os.Exit(1)
	}
}

func profiled(path string, run func() error) error {
	if path == "" {
		return run()
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return run()
}

type options struct {
	rounds      int
	lasts       time.Duration
	connections int
	only        string
}

// files are what is served.
var files = []struct {
	name string
	size int
}{{"4 KiB", 4 << 10}, {"1 MiB", 1 << 20}}

func run(ctx context.Context, o options) error {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return fmt.Errorf("the load generator is missing: %w", err)
	}
	dir, err := os.MkdirTemp("", "bench-gateway-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, stop, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer stop()

	type key struct{ server, file string }
	results := make(map[key][]harness.Rate)
	for range o.rounds {
		for _, f := range files {
			for _, s := range servers {
				if !strings.Contains(s.name, o.only) {
					continue
				}
				r, err := harness.Load{Wrk: wrk, URL: s.url + fileName(f.name), Host: s.host, Connections: o.connections, Lasts: o.lasts}.Run(ctx)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				results[key{s.name, f.name}] = append(results[key{s.name, f.name}], r)
			}
		}
	}
	fmt.Println("| server | file | requests/s | p99 | of the bare proxy |\n|---|---|---:|---:|---:|")
	for _, f := range files {
		bare := median(results[key{bareProxy, f.name}], func(r harness.Rate) float64 { return r.PerSecond })
		for _, s := range servers {
			list := results[key{s.name, f.name}]
			if len(list) == 0 {
				continue
			}
			rate := median(list, func(r harness.Rate) float64 { return r.PerSecond })
			p99 := median(list, func(r harness.Rate) time.Duration { return r.P99 })
			ratio := ""
			if bare > 0 {
				ratio = fmt.Sprintf("%.2f", rate/bare)
			}
			fmt.Printf("| %s | %s | %.0f | %v | %s |\n", s.name, f.name, rate, p99.Round(10*time.Microsecond), ratio)
		}
	}
	if o.only == "" {
		return tunnels(ctx, o)
	}
	return nil
}

func fileName(file string) string { return strings.ReplaceAll(file, " ", "") }

func median[R any, T cmp.Ordered](list []R, of func(R) T) T {
	values := make([]T, len(list))
	for i, r := range list {
		values[i] = of(r)
	}
	slices.Sort(values)
	if len(values) == 0 {
		var zero T
		return zero
	}
	return values[len(values)/2]
}
