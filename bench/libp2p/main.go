package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"kith.alt/kith/bench/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	verb, args := "streams", os.Args[1:]
	if len(args) > 0 && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	if verb == "pairs" {
		measure.EnterNamespace()
	}
	if err := run(ctx, verb, args); err != nil {
		fmt.Fprintf(os.Stderr, "libp2p %s: %v\n", verb, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, verb string, args []string) error {
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	var o measure.Options
	switch verb {
	case "streams":
		flags.IntVar(&o.Rounds, "rounds", 5, "rounds of throughput; the median counts")
		flags.DurationVar(&o.Time, "time", 2*time.Second, "of each throughput measurement")
		flags.IntVar(&o.Calls, "calls", 5000, "round trips to measure")
		flags.IntVar(&o.Opens, "opens", 1000, "streams to open")
		flags.Parse(args)
		return streams(ctx, o)
	case "pairs":
		peers := flags.Int("peers", 200, "peers of the one host")
		settle := flags.Duration("settle", 30*time.Second, "before measuring")
		lasts := flags.Duration("time", 2*time.Minute, "of the measurement")
		flags.Parse(args)
		return pairs(ctx, flags.Args(), *peers, *settle, *lasts)
	case "relay", "listen", "dial", "reply":
		var p party
		flags.StringVar(&p.carrier, "carrier", "quic", "quic or tcp")
		flags.StringVar(&p.address, "address", "0.0.0.0:4001", "to listen at")
		flags.StringVar(&p.relay, "relay", "", "address of a relay, with its ID")
		flags.Parse(args)
		p.peers = flags.Args()
		return p.run(ctx, verb)
	}
	return fmt.Errorf("no such verb")
}
