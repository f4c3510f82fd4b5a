package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
)

const goal = 0.8 // of the bare proxy over TLS

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the median counts")
	flag.DurationVar(&o.lasts, "time", 2*time.Second, "of each measurement")
	flag.IntVar(&o.connections, "connections", 16, "that wrk keeps busy")
	flag.StringVar(&o.only, "only", "", "measure servers whose name contains this")
	roles := map[string]harness.Role{"files": serveFiles, "proxy": serveProxy}
	harness.Main("web", roles, func(ctx context.Context, b *harness.Bench) error { return run(ctx, b, o) })
}

type options struct {
	rounds      int
	lasts       time.Duration
	connections int
	only        string
}

// files are what is served: by name, which is also their path, and size.
var files = []struct {
	name string
	size int
}{{"4KiB", 4 << 10}, {"1MiB", 1 << 20}}

func run(ctx context.Context, b *harness.Bench, o options) error {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return fmt.Errorf("the load generator is missing: %w", err)
	}
	root := filepath.Join(b.Dir, "files")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(root, f.name), bytes.Repeat([]byte("x"), f.size), 0o644); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	servers, err := start(ctx, b, root)
	if err != nil {
		return err
	}
	servers = slices.DeleteFunc(servers, func(s server) bool { return !strings.Contains(s.name, o.only) })

	type key struct{ server, file string }
	results := make(map[key][]harness.Rate)
	for range o.rounds {
		for _, f := range files {
			for _, s := range servers {
				r, err := harness.Load{Wrk: wrk, URL: s.url + f.name, Host: s.host, Connections: o.connections, Lasts: o.lasts}.Run(ctx)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, f.name, err)
				}
				results[key{s.name, f.name}] = append(results[key{s.name, f.name}], r)
			}
		}
	}
	rates := func(server, file string) (list []float64) {
		for _, r := range results[key{server, file}] {
			list = append(list, r.PerSecond)
		}
		return list
	}
	fmt.Println("| server | file | requests/s | p99 | of the bare proxy over TLS | goal |\n|---|---|---:|---:|---:|---:|")
	for _, f := range files {
		for _, s := range servers {
			var p99 []time.Duration
			for _, r := range results[key{s.name, f.name}] {
				p99 = append(p99, r.P99)
			}
			aim := ""
			if s.name == kithGateway {
				aim = fmt.Sprint(goal)
			}
			fmt.Printf("| %s | %s | %.0f | %v | %s | %s |\n", s.name, f.name, measure.Median(rates(s.name, f.name)),
				measure.Median(p99).Round(10*time.Microsecond), measure.Ratios(rates(s.name, f.name), rates(bareTLS, f.name)), aim)
		}
	}
	return nil
}
