package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// idle prints what a node pays for peers that it is connected to and that say
// nothing. All nodes live in this process, so that half of each figure is the
// peers'.
func idle(ctx context.Context, peers int, lasts time.Duration) error {
	fmt.Println("| carrier | memory per peer | goroutines per peer | CPU with all peers |")
	fmt.Println("|---|---|---|---|")
	for _, carrier := range []string{"tls", "quic"} {
		if err := idleOn(ctx, carrier, peers, lasts); err != nil {
			return err
		}
		<-time.After(2 * time.Second) // the nodes stop
	}
	return nil
}

func idleOn(ctx context.Context, carrier string, peers int, lasts time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nodes, err := startNodes(ctx, peers+1, carrier)
	if err != nil {
		return err
	}
	memory, goroutines := memoryInUse(), runtime.NumGoroutine()
	for _, peer := range nodes[1:] {
		if err := nodes[0].Connect(ctx, peer.id); err != nil {
			return err
		}
	}
	<-time.After(5 * time.Second)
	ends := 2 * uint64(peers)
	memory, goroutines = memoryInUse()-memory, runtime.NumGoroutine()-goroutines
	before := cpuTime()
	<-time.After(lasts)
	share := (cpuTime() - before).Seconds() / lasts.Seconds() / 2
	fmt.Printf("| %s | %.0f kB | %.1f | %.3f %% |\n", carrier, float64(memory/ends)/1e3, float64(goroutines)/float64(ends), 100*share)
	return nil
}

func memoryInUse() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
