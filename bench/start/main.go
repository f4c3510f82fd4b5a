// Command start measures how long kith takes from the start of its process to
// the line "ready", and prints one Markdown table: the first start, which makes
// everything, and the second on the same data directory. Beside them stand what
// they cannot do without: the start of the program alone ("kith version") and
// one synced write to the same disk.
//
//	go run ./bench/start [-count 20] [-profile DIR]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
)

const goal = 300 * time.Millisecond

func main() {
	count := flag.Int("count", 20, "starts of each kind")
	harness.Main("start", nil, func(ctx context.Context, b *harness.Bench) error { return run(ctx, b, *count) })
}

func run(ctx context.Context, b *harness.Bench, count int) error {
	rows := []struct {
		name string
		took []time.Duration
	}{{name: "first start"}, {name: "second start"}, {name: "`kith version`"}, {name: "a synced write of 4 KiB"}}
	for i := range count {
		name := fmt.Sprintf("n%d", i+1)
		for again := range 2 {
			n, err := b.Start(ctx, name)
			if err != nil {
				return err
			}
			rows[again].took = append(rows[again].took, n.Took)
			if err := n.Stop(); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := b.Kith(ctx, b.Dir, "version").Run(); err != nil {
			return err
		}
		rows[2].took = append(rows[2].took, time.Since(began))
		began = time.Now()
		if err := syncedWrite(filepath.Join(b.Dir, "file")); err != nil {
			return err
		}
		rows[3].took = append(rows[3].took, time.Since(began))
	}
	fmt.Printf("| to the line \"ready\" | median | worst of %d | goal | median of the goal |\n|---|---:|---:|---:|---:|\n", count)
	for i, r := range rows {
		median, worst := measure.Median(r.took), slices.Max(r.took)
		aim, share := "", ""
		if i < 2 {
			aim, share = goal.String(), measure.Ratio(median.Seconds(), goal.Seconds())
		}
		fmt.Printf("| %s | %.1f ms | %.1f ms | %s | %s |\n", r.name, milliseconds(median), milliseconds(worst), aim, share)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func syncedWrite(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, 4<<10))
	return errors.Join(err, file.Sync(), file.Close())
}
