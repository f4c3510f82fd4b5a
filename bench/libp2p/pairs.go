package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith.alt/kith/bench/measure"
)

// pairs prints the table of bench/pairs. Like that it runs itself again, as the
// host that is measured ("hub CARRIER") and as its peers ("hosts CARRIER COUNT").
func pairs(ctx context.Context, args []string, peers int, settle, lasts time.Duration) error {
	switch {
	case len(args) == 0:
		fmt.Println(measure.IdleHead)
		for _, carrier := range []string{"tcp", "quic"} {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			cmd := exec.Command(self, append(os.Args[1:], "hub", carrier)...)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Run(); err != nil {
				return err
			}
		}
		return nil
	case args[0] == "hub":
		return hub(ctx, args[1], peers, settle, lasts)
	default:
		return hosts(args[1], args[2])
	}
}

func hub(ctx context.Context, carrier string, peers int, settle, lasts time.Duration) error {
	lines, stop, err := measure.Child("pairs", "hosts", carrier, strconv.Itoa(peers))
	if err != nil {
		return err
	}
	defer stop()
	h, err := newHost("hub", carrier, "127.0.0.1:0")
	if err != nil {
		return err
	}
	idle, err := measure.IdlePeers(len(lines), settle, lasts, func(number int) error {
		at, err := peer.AddrInfoFromString(lines[number])
		if err != nil {
			return err
		}
		return h.Connect(ctx, *at)
	})
	if err != nil {
		return err
	}
	fmt.Println(idle.Row("libp2p, " + carrier))
	return nil
}

func hosts(carrier, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for i := range n {
		h, err := newHost(fmt.Sprint("peer ", i), carrier, "127.0.0.1:0")
		if err != nil {
			return err
		}
		list, err := addresses(h)
		if err != nil {
			return err
		}
		fmt.Println(list[0])
	}
	measure.Ready()
	return nil
}
