package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/kithtest/netlab"
)

const (
	lanGoal  = 0.9 // of curl's rate
	lanSize  = 4 << 30
	costSize = 1 << 30
	slowest  = 5e6 // bytes a second: what is slower is given up
)

// A leg is what a client's transfers between two hosts were like, one for each round.
type leg struct {
	client   string
	took     []float64 // seconds, until the client has the file
	synced   []float64 // until it is on the disk
	seed     []float64 // seconds of processor time
	taker    []float64
	profiles []string // of the last round
}

// lan compares kith get with curl.
func lan(ctx context.Context, b *harness.Bench, o options) error {
	size := o.fileSize(lanSize)
	legs, err := cabled(ctx, b, o, "lan", size, curl, kith)
	if err != nil {
		return err
	}
	fmt.Printf("| %d MiB between two hosts | until the client ends, s | MB/s | until it is on the disk, s | MB/s | of curl | goal | CPU-s/GB, seed | taker |\n", size>>20)
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	megabytes := float64(size) / 1e6
	for _, l := range legs {
		goal, share := "", ""
		if l.client == kith.name {
			goal = fmt.Sprint(lanGoal)
		}
		if legs[0].client == curl.name {
			share = measure.Ratios(rates(l.synced), rates(legs[0].synced))
		}
		took, synced := measure.Median(l.took), measure.Median(l.synced)
		fmt.Printf("| %s | %.2f | %.0f | %.2f | %.0f | %s | %s | %.2f | %.2f |\n", l.client, took, megabytes/took, synced, megabytes/synced,
			share, goal, measure.Median(l.seed)/megabytes*1e3, measure.Median(l.taker)/megabytes*1e3)
	}
	return explain(legs)
}

// cost compares what a gigabyte costs.
func cost(ctx context.Context, b *harness.Bench, o options) error {
	size := o.fileSize(costSize)
	legs, err := cabled(ctx, b, o, "cost", size, kith, aria2, libtorrent("libtorrent", "plain"), transmission, curl)
	if err != nil {
		return err
	}
	fmt.Println("| a gigabyte between two hosts by | CPU-s, seed | taker | both | of libtorrent's | MB/s |")
	fmt.Println("|---|---:|---:|---:|---:|---:|")
	var beside []float64
	for _, l := range legs {
		if l.client == "libtorrent" {
			beside = l.both()
		}
	}
	gigabytes := float64(size) / 1e9
	for _, l := range legs {
		fmt.Printf("| %s | %.2f | %.2f | %.2f | %s | %.0f |\n", l.client, measure.Median(l.seed)/gigabytes, measure.Median(l.taker)/gigabytes,
			measure.Median(l.both())/gigabytes, measure.Ratios(l.both(), beside), gigabytes*1e3/measure.Median(l.took))
	}
	return explain(legs)
}

func (l leg) both() []float64 {
	sums := make([]float64, len(l.seed))
	for i := range sums {
		sums[i] = l.seed[i] + l.taker[i]
	}
	return sums
}

// rates turns times into what is the larger the faster it went.
func rates(times []float64) []float64 {
	list := make([]float64, len(times))
	for i, t := range times {
		list[i] = 1 / t
	}
	return list
}

// cabled has clients take turns to bring a file of so many bytes from one host to another.
func cabled(ctx context.Context, b *harness.Bench, o options, label string, size int64, clients ...client) ([]leg, error) {
	if err := needRoom(b.Dir, 2*size); err != nil {
		return nil, err
	}
	origin := filepath.Join(b.Dir, "origin")
	if err := os.Mkdir(origin, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(origin, "file.bin")
	if err := makeFile(file, size); err != nil {
		return nil, err
	}
	clients = o.chosen(clients)
	legs := make([]leg, len(clients))
	for range o.rounds {
		for i, c := range clients {
			legs[i].client = c.name
			if err := legs[i].run(ctx, b, c, label, file, size); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return legs, nil
}

// run has a client bring a file from one host to another, on a cable without limits.
func (l *leg) run(ctx context.Context, b *harness.Bench, c client, label, file string, size int64) error {
	return netlab.Do(func(t netlab.T) {
		lab := netlab.New(t)
		computers := []*netlab.Computer{lab.Computer("seed"), lab.Computer("taker")}
		lab.Cable(computers[0], computers[1])
		for i, computer := range computers {
			computer.SetAddress(fmt.Sprintf("10.79.0.%d/16", i+1))
			computer.IP("route", "replace", "default", "dev", "eth0")
		}
		dir, err := os.MkdirTemp(b.Dir, "hosts-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			os.RemoveAll(dir)
			syscall.Sync() // so that the next one finds the disk as this one did
		})
		s := newSwarm(t, ctx, b, dir, file, size, computers...)
		s.label = label
		r := s.transfer(c, plan{
			limit: patience + time.Duration(float64(size)/slowest*float64(time.Second)),
			begins: func() {
				if err := touch(size + size/4); err != nil {
					t.Fatal(err)
				}
			},
		})
		from := time.Now()
		if err := syncFile(s.hosts[1].out()); err != nil {
			t.Fatal(err)
		}
		l.took, l.synced = append(l.took, r.last().Seconds()), append(l.synced, (r.last()+time.Since(from)).Seconds())
		l.seed, l.taker = append(l.seed, r.seed.Seconds()), append(l.taker, r.rest.Seconds())
		l.profiles = nil
		for _, h := range s.hosts {
			h.stop()
			if h.profile != "" {
				l.profiles = append(l.profiles, h.profile)
			}
		}
		s.compare()
	})
}
