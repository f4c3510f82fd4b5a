package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith/bench/harness"
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

// A result is one measurement.
type result struct {
	rate float64 // requests per second
	p99  time.Duration
}

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
	results := make(map[key][]result)
	for range o.rounds {
		for _, f := range files {
			for _, s := range servers {
				r, err := load(ctx, wrk, s, f.name, o)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, f.name, err)
				}
				results[key{s.name, f.name}] = append(results[key{s.name, f.name}], r)
			}
		}
	}
	rates := func(server, file string) (list []float64) {
		for _, r := range results[key{server, file}] {
			list = append(list, r.rate)
		}
		return list
	}
	fmt.Println("| server | file | requests/s | p99 | of the bare proxy over TLS | goal |\n|---|---|---:|---:|---:|---:|")
	for _, f := range files {
		for _, s := range servers {
			var p99 []time.Duration
			for _, r := range results[key{s.name, f.name}] {
				p99 = append(p99, r.p99)
			}
			aim := ""
			if s.name == kithGateway {
				aim = fmt.Sprint(goal)
			}
			fmt.Printf("| %s | %s | %.0f | %v | %s | %s |\n", s.name, f.name, harness.Median(rates(s.name, f.name)),
				harness.Median(p99).Round(10*time.Microsecond), harness.Ratios(rates(s.name, f.name), rates(bareTLS, f.name)), aim)
		}
	}
	return nil
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkP99    = regexp.MustCompile(`99%\s+([0-9.]+[a-z]+)`)
	wrkErrors = regexp.MustCompile(`(?m)^\s*(Non-2xx.*|Socket errors.*)$`)
)

// load has wrk fetch one file from a server.
func load(ctx context.Context, wrk string, s server, file string, o options) (result, error) {
	args := []string{"--latency", "--threads", "1", "--connections", strconv.Itoa(o.connections), "--duration", o.lasts.String()}
	if s.host != "" {
		args = append(args, "--header", "Host: "+s.host)
	}
	out, err := exec.CommandContext(ctx, wrk, append(args, s.url+file)...).Output()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w", err)
	}
	if bad := wrkErrors.FindString(string(out)); bad != "" {
		return result{}, fmt.Errorf("wrk: %s", strings.TrimSpace(bad))
	}
	rate, p99 := wrkRate.FindSubmatch(out), wrkP99.FindSubmatch(out)
	if rate == nil || p99 == nil {
		return result{}, fmt.Errorf("wrk printed\n%s", out)
	}
	var r result
	if r.rate, err = strconv.ParseFloat(string(rate[1]), 64); err != nil {
		return result{}, err
	}
	r.p99, err = time.ParseDuration(string(p99[1]))
	return r, err
}
