package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kith.alt/kith/bench/harness"
)

// options say how much is measured.
type options struct {
	rounds   int
	size     int64  // bytes of the file; 0: as each measurement has it
	scenario string // part of the names of those to measure
	client   string // the same
}

// fileSize is what was asked for, or else the measurement's own.
func (o options) fileSize(own int64) int64 {
	if o.size > 0 {
		return o.size
	}
	return own
}

// A measurement prints a table.
type measurement struct {
	name string
	run  func(context.Context, *harness.Bench, options) error
}

var measurements = []measurement{
	{"hashing", hashing}, {"lan", lan}, {"cost", cost}, {"memory", memory}, {"spread", spread},
}

func main() {
	var o options
	what := flag.String("what", "", "measure only these, by `NAME,...`: hashing, lan, cost, memory, spread")
	flag.IntVar(&o.rounds, "rounds", 1, "of each; the median counts")
	mib := flag.Int64("size", 0, "of the file, in `MIB`, in place of each measurement's own")
	flag.StringVar(&o.scenario, "scenario", "", "measure scenarios of spread whose name contains this")
	flag.StringVar(&o.client, "client", "", "measure programs whose name contains this")
	harness.Main("swarm", map[string]harness.Role{trackerRole: serveTracker, nodeRole: runNode}, func(ctx context.Context, b *harness.Bench) error {
		o.size, o.rounds = *mib<<20, max(o.rounds, 1)
		chosen, err := choose(*what)
		if err != nil {
			return err
		}
		for i, m := range chosen {
			if i > 0 {
				fmt.Println()
			}
			if err := m.run(ctx, b, o); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if err := empty(b.Dir); err != nil {
				return err
			}
		}
		return nil
	})
}

// choose returns the measurements that are named, all of them for "".
func choose(names string) ([]measurement, error) {
	if names == "" {
		return measurements, nil
	}
	var chosen []measurement
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(measurements, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("nothing is called %q", name)
		}
		chosen = append(chosen, measurements[i])
	}
	return chosen, nil
}

// empty removes what a measurement left but for the program that is measured.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "kith" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
