// Command kith runs a node and speaks to the one that runs: see package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"kith.alt/kith/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
