package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sink = 's' // the server reads and forgets
	echo = 'e' // the server answers each message of messageSize

	messageSize = 64
	blockSize   = 128 << 10
	openCalls   = 1000
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds of throughput; the median counts")
	lasts := flag.Duration("time", 2*time.Second, "of each throughput measurement")
	calls := flag.Int("calls", 5000, "round trips to measure")
	only := flag.String("only", "", "measure engines whose name contains this")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	peers := flag.Int("idle", 0, "measure the price of so many idle peers instead")
	flag.Parse()
	if *peers > 0 {
		if err := idle(context.Background(), *peers, *lasts); err != nil {
			fmt.Fprintln(os.Stderr, "bench/overlay:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*rounds, *lasts, *calls, *only, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench/overlay:", err)
		os.Exit(1)
	}
}

// A row is what was measured of an engine.
type row struct {
	one, eight     []float64 // Gbit/s by round
	price          []float64 // CPU-s/GB on one stream, by round
	trips, replies []time.Duration
}

func run(rounds int, lasts time.Duration, calls int, only, profile string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	list, err := engines(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(e engine) bool { return !strings.Contains(e.name, only) })
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
	rows := make([]row, len(list))
	for range rounds {
		for i, e := range list {
			r := &rows[i]
			for _, m := range []struct {
				streams int
				to      *[]float64
			}{{1, &r.one}, {8, &r.eight}} {
				rate, price, err := throughput(ctx, e, m.streams, lasts)
				if err != nil {
					return fmt.Errorf("%s: %w", e.name, err)
				}
				*m.to = append(*m.to, rate)
				if m.streams == 1 {
					r.price = append(r.price, price)
				}
			}
			trips, err := roundTrips(ctx, e, calls/rounds)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			replies, err := firstReplies(ctx, e, openCalls/rounds)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			r.trips, r.replies = append(r.trips, trips...), append(r.replies, replies...)
		}
	}
	report(list, rows)
	return nil
}

func report(list []engine, rows []row) {
	var base row
	for i, e := range list {
		if strings.HasPrefix(e.name, "TLS") {
			base = rows[i]
		}
	}
	against := func(rates, base []float64) string {
		if len(base) == 0 {
			return fmt.Sprintf("%.1f", median(rates))
		}
		return fmt.Sprintf("%.1f (%.2f)", median(rates), median(rates)/median(base))
	}
	fmt.Println("| engine | 1 stream, Gbit/s (of TLS) | 8 streams | CPU-s/GB | 64-byte round trip p50/p99 | open to first reply p50/p99 |")
	fmt.Println("|---|---|---|---|---|---|")
	for i, e := range list {
		r := rows[i]
		fmt.Printf("| %s | %s | %s | %.2f | %s | %s |\n", e.name,
			against(r.one, base.one), against(r.eight, base.eight), median(r.price), percentiles(r.trips), percentiles(r.replies))
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func percentiles(values []time.Duration) string {
	slices.Sort(values)
	at := func(share float64) int64 { return values[int(share*float64(len(values)-1))].Microseconds() }
	return fmt.Sprintf("%d/%d µs", at(0.5), at(0.99))
}

// received counts what all sinks have read.
var received atomic.Uint64

func serve(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	var mode [1]byte
	if _, err := io.ReadFull(conn, mode[:]); err != nil {
		return
	}
	if mode[0] == echo {
		var message [messageSize]byte
		for {
			if _, err := io.ReadFull(conn, message[:]); err != nil {
				return
			}
			if _, err := conn.Write(message[:]); err != nil {
				return
			}
		}
	}
	block := make([]byte, blockSize)
	for {
		n, err := conn.Read(block)
		received.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// throughput returns the Gbit/s that arrive on so many streams together, and
// the CPU time that a gigabyte costs.
func throughput(ctx context.Context, e engine, streams int, lasts time.Duration) (rate, price float64, err error) {
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for range streams {
		conn, err := e.dial(ctx)
		if err != nil {
			return 0, 0, err
		}
		conns = append(conns, conn)
		if _, err := conn.Write([]byte{sink}); err != nil {
			return 0, 0, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() {
			block := make([]byte, blockSize)
			for ctx.Err() == nil {
				if _, err := conn.Write(block); err != nil {
					return
				}
			}
		})
	}
	<-time.After(lasts / 5) // windows grow
	before, cpu, began := received.Load(), cpuTime(), time.Now()
	<-time.After(lasts)
	gigabytes := float64(received.Load()-before) / 1e9
	rate, price = 8*gigabytes/time.Since(began).Seconds(), (cpuTime()-cpu).Seconds()/gigabytes
	cancel()
	wg.Wait()
	return rate, price, nil
}

func roundTrips(ctx context.Context, e engine, calls int) ([]time.Duration, error) {
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{echo}); err != nil {
		return nil, err
	}
	list := make([]time.Duration, 0, calls)
	var message [messageSize]byte
	for range calls {
		began := time.Now()
		if err := call(conn, message[:]); err != nil {
			return nil, err
		}
		list = append(list, time.Since(began))
	}
	return list, nil
}

func firstReplies(ctx context.Context, e engine, calls int) ([]time.Duration, error) {
	list := make([]time.Duration, 0, calls)
	message := make([]byte, 1+messageSize)
	message[0] = echo
	for range calls {
		began := time.Now()
		conn, err := e.dial(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(message); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, message[1:]); err != nil {
			return nil, err
		}
		list = append(list, time.Since(began))
		conn.Close()
	}
	return list, nil
}

func call(conn net.Conn, message []byte) error {
	if _, err := conn.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, message)
	return err
}
