// Command pairs measures what a host pays for each connection to a peer that
// says nothing, and what the two send to keep it, and prints one Markdown table.
// One overlay is connected with many, which live in another process, over either
// carrier and through a relay, in a third. Package mesh, which would add its
// heartbeats, is not there: see bench/idle for whole nodes.
//
//	go run ./bench/pairs [-peers 200] [-settle 30s] [-time 2m] [-only NAME] [-heapprofile FILE]
//
// Traffic is what the loopback interface of a network namespace counts, with all
// headers down to Ethernet's 14 bytes; through a relay each packet counts on
// both of its ways. Memory and processor time are those of the one process, per
// connection.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/network/overlay"
)

// A pair should cost no more.
const (
	memoryGoal  = 60 // kB
	trafficGoal = 25 // bytes/s
)

func main() {
	measure.EnterNamespace()
	peers := flag.Int("peers", 200, "peers of the one host")
	settle := flag.Duration("settle", 30*time.Second, "before measuring")
	lasts := flag.Duration("time", 2*time.Minute, "of the measurement")
	only := flag.String("only", "", "measure ways whose name contains this")
	profile := flag.String("heapprofile", "", "write what the one host has in use to `FILE`; for one way")
	flag.Parse()
	var err error
	switch args := flag.Args(); {
	case len(args) == 0:
		err = all(*only)
	case args[0] == "hub":
		err = hub(args[1], *peers, *settle, *lasts, *profile)
	case args[0] == "hosts":
		err = hosts(args[1], args[2], args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/pairs:", err)
		os.Exit(1)
	}
}

// all measures every way in a process of its own.
func all(only string) error {
	fmt.Println(measure.IdleHead)
	for _, way := range []string{"tls", "quic", "relayed tls", "relayed quic"} {
		if !strings.Contains(way, only) {
			continue
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(self, append(os.Args[1:], "hub", way)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
	}
	fmt.Printf("| goal | %d | | | | %d | |\n", memoryGoal, trafficGoal)
	return nil
}

// hub is the host that is measured.
func hub(way string, peers int, settle, lasts time.Duration, profile string) error {
	if profile != "" {
		runtime.MemProfileRate = 1 << 10
	}
	carrier, relayed := strings.CutPrefix(way, "relayed ")
	known := make(book)
	var relay kith.ID
	if relayed {
		lines, stop, err := measure.Child("hosts", carrier, "relay")
		if err != nil {
			return err
		}
		defer stop()
		if relay, err = known.add(lines[0]); err != nil {
			return err
		}
	}
	args := []string{"hosts", carrier, strconv.Itoa(peers)}
	for id, address := range known {
		args = append(args, id.String()+" "+address.String()) // the peers tell the relay where they are
	}
	lines, stop, err := measure.Child(args...)
	if err != nil {
		return err
	}
	defer stop()
	all := make([]kith.ID, len(lines))
	direct := known
	if relayed {
		direct = make(book) // where they are is not for the hub
	}
	for i, line := range lines {
		if all[i], err = direct.add(line); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h, err := start(ctx, carrier, "hub", known, relay)
	if err != nil {
		return err
	}
	idle, err := measure.IdlePeers(len(all), settle, lasts, func(number int) error { return h.Connect(ctx, all[number]) })
	if err != nil {
		return err
	}
	for _, p := range h.Peers() {
		if (p.Path == "relayed") != relayed && p.ID != relay {
			return fmt.Errorf("a path is %s", p.Path)
		}
	}
	fmt.Println(idle.Row(way))
	if profile == "" {
		return nil
	}
	file, err := os.Create(profile)
	if err != nil {
		return err
	}
	defer file.Close()
	runtime.GC()
	return pprof.WriteHeapProfile(file)
}

// hosts runs a relay or so many peers of the hub; those keep a carrier to the
// relay, if there is one.
func hosts(carrier, what string, relays []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	names := []string{"relay"}
	if count, err := strconv.Atoi(what); err == nil {
		names = nil
		for i := range count {
			names = append(names, fmt.Sprint("peer ", i))
		}
	}
	for _, name := range names {
		known := make(book)
		var relay kith.ID
		for _, line := range relays {
			var err error
			if relay, err = known.add(line); err != nil {
				return err
			}
		}
		o, err := start(ctx, carrier, name, known, relay)
		if err != nil {
			return err
		}
		if !relay.IsZero() {
			if err := o.Connect(ctx, relay); err != nil {
				return err
			}
		}
	}
	measure.Ready()
	return nil
}

// A book says where hosts are.
type book map[kith.ID]netip.AddrPort

// add takes a line "ID ADDRESS".
func (b book) add(line string) (kith.ID, error) {
	name, where, _ := strings.Cut(line, " ")
	id, err := kith.ParseID(name)
	if err != nil {
		return id, err
	}
	address, err := netip.ParseAddrPort(where)
	b[id] = address
	return id, err
}

// start runs an overlay and prints where it is.
func start(ctx context.Context, carrier, name string, known book, relay kith.ID) (*overlay.Overlay, error) {
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	o := overlay.New(overlay.Config{
		Key:   key,
		Admit: func(kith.ID, []byte) error { return nil },
		Addresses: func(id kith.ID) []netip.AddrPort {
			if a, ok := known[id]; ok {
				return []netip.AddrPort{a}
			}
			return nil
		},
		Relays: func(id kith.ID) []kith.ID {
			if relay.IsZero() {
				return nil
			}
			return []kith.ID{relay}
		},
		RelayLimits: overlay.RelayLimits{Streams: 1 << 20},
		Carriers:    []string{carrier},
	})
	go o.Serve(ctx)
	address, err := o.Open(ctx, "127.0.0.1", 0)
	if err != nil {
		return nil, err
	}
	if name != "hub" {
		fmt.Println(kith.IDOf(key.Public().(ed25519.PublicKey)), address)
	}
	return o, nil
}
