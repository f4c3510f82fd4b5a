package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiled runs what a child process does and writes its profiles, where the
// benchmark wants any: the heap as it is when ctx ends, before run knows.
func profiled(ctx context.Context, run func(context.Context) int) int {
	path := os.Getenv(profileVariable)
	if path == "" {
		return run(ctx)
	}
	runtime.MemProfileRate = 16 << 10
	cpu, err := os.Create(path + ".cpu")
	if err == nil {
		defer cpu.Close()
		err = pprof.StartCPUProfile(cpu)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer pprof.StopCPUProfile()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() {
		if err := writeHeap(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		cancel()
	})()
	return run(running)
}

func writeHeap(path string) error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m) // first: a collection changes it
	goroutines := runtime.NumGoroutine()
	stats, err := os.Create(path + ".stats")
	if err != nil {
		return err
	}
	fmt.Fprintf(stats, "heap in use %d, idle %d, released %d; stacks %d; runtime's own %d; all from the system %d; next collection %d; collections %d; goroutines %d\n",
		m.HeapInuse, m.HeapIdle, m.HeapReleased, m.StackInuse, m.MSpanSys+m.MCacheSys+m.GCSys+m.OtherSys+m.BuckHashSys, m.Sys, m.NextGC, m.NumGC, goroutines)
	runtime.GC()
	runtime.ReadMemStats(&m)
	fmt.Fprintf(stats, "after a collection: live heap %d, in use %d\n", m.HeapAlloc, m.HeapInuse)
	heap, err := os.Create(path + ".heap")
	if err != nil {
		return errors.Join(err, stats.Close())
	}
	routines, err := os.Create(path + ".goroutine")
	if err != nil {
		return errors.Join(err, stats.Close(), heap.Close())
	}
	return errors.Join(
		pprof.Lookup("heap").WriteTo(heap, 0), pprof.Lookup("goroutine").WriteTo(routines, 0),
		stats.Close(), heap.Close(), routines.Close())
}
