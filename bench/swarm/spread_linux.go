package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/kithtest/netlab"
)

const (
	spreadSize = 32 << 20
	patient    = 5                   // times the bound are waited for
	fullFrame  = 1514. / (1500 - 52) // bytes on the wire for one of a file
)

// A spreading is what a client did in a scenario, one for each round.
type spreading struct {
	ratio, mean []float64 // of the bound: the last taker's time, and that of all on average
	copies      []float64 // of the file that the seed sent, in full frames
	overhead    []float64 // of all that was sent, beyond the file for each taker
	busy        []float64 // share of the processors
}

// spread measures how long a file takes from a seed to all takers.
func spread(ctx context.Context, b *harness.Bench, o options) error {
	size := o.fileSize(spreadSize)
	clients := o.chosen([]client{kith, aria2, libtorrent("libtorrent", "plain"), libtorrent("libtorrent, super-seeding", "super"), transmission})
	origin := filepath.Join(b.Dir, "origin")
	if err := os.Mkdir(origin, 0o755); err != nil {
		return err
	}
	file := filepath.Join(origin, "file.bin")
	if err := makeFile(file, size); err != nil {
		return err
	}
	fmt.Println("| u_s, u (Mbit/s) | takers | by | of the bound | goal | taker on average | copies sent by the seed | sent beyond the file | processors busy |")
	fmt.Println("|---|---:|---|---:|---:|---:|---:|---:|---:|")
	for _, sc := range scenarios {
		if !strings.Contains(sc.Name, o.scenario) {
			continue
		}
		sc.Size = size
		rows := make([]spreading, len(clients))
		for range o.rounds {
			for i, c := range clients {
				if err := rows[i].run(ctx, b, c, sc, file); err != nil {
					fmt.Printf("| %s | %d | %s | failed: %.200s | | | | | |\n", sc.links(), sc.Takers, c.name, strings.ReplaceAll(err.Error(), "\n", " "))
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		for i, c := range clients {
			r, goal := rows[i], ""
			if len(r.ratio) == 0 {
				continue
			}
			if c.name == kith.name {
				goal = fmt.Sprintf("%.2f", sc.goal)
			}
			fmt.Printf("| %s | %d | %s | %.3f | %s | %.3f | %.2f | %.0f %% | %.0f %% |\n", sc.links(), sc.Takers, c.name, measure.Median(r.ratio), goal,
				measure.Median(r.mean), measure.Median(r.copies), 100*measure.Median(r.overhead), 100*measure.Median(r.busy))
		}
	}
	return nil
}

// run has a client do it once.
func (r *spreading) run(ctx context.Context, b *harness.Bench, c client, sc scenario, file string) error {
	return netlab.Do(func(t netlab.T) {
		lab := netlab.New(t)
		hub := lab.Switch("switch")
		computers := []*netlab.Computer{hub.Host("seed", sc.Seed)}
		for i := range sc.Takers {
			computers = append(computers, hub.Host(fmt.Sprintf("taker%d", i+1), sc.Taker))
		}
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil { // no disk is in the way
			t.Fatalf("mount tmpfs: %v", err)
		}
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
		s := newSwarm(t, ctx, b, dir, file, sc.Size, computers...)
		s.label = fmt.Sprintf("spread-%d", sc.Takers)
		var all, seed int64
		var busy, ticks uint64
		count := func(sign int64) {
			for i, computer := range computers {
				sent := sign * hub.Traffic(computer).Sent
				if all += sent; i == 0 {
					seed += sent
				}
			}
			text, err := os.ReadFile("/proc/stat")
			if err != nil {
				t.Fatal(err)
			}
			b, n, err := processors(string(text))
			if err != nil {
				t.Fatal(err)
			}
			busy, ticks = b-busy, n-ticks
		}
		bound := sc.Bound()
		result := s.transfer(c, plan{
			comes: sc.comes, away: sc.Absence, limit: patience/2 + patient*bound,
			received: func(computer *netlab.Computer) int64 { return hub.Traffic(computer).Received },
			begins:   func() { count(-1) },
		})
		count(1)
		s.compare()
		var sum time.Duration
		for _, took := range result.took {
			sum += took
		}
		takers, size := float64(sc.Takers), float64(sc.Size)
		r.ratio = append(r.ratio, result.last().Seconds()/bound.Seconds())
		r.mean = append(r.mean, sum.Seconds()/takers/bound.Seconds())
		r.copies = append(r.copies, float64(seed)/(size*fullFrame))
		r.overhead = append(r.overhead, float64(all)/(takers*size)-1)
		r.busy = append(r.busy, float64(busy)/float64(max(ticks, 1)))
	})
}
