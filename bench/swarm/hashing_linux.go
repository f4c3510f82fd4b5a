package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/content"
)

const hashedSize = 4 << 30

// largestPiece is what a share of a large file has: SHA-1 of each of them, for
// torrent clients, costs time, too.
const largestPiece = 16 << 20

// hashing compares sharing a file, and hashing it, with sha256sum.
func hashing(ctx context.Context, b *harness.Bench, o options) error {
	size := o.fileSize(hashedSize)
	if lacks := programs("sha256sum")(); lacks != "" {
		fmt.Println(lacks)
		return nil
	}
	if err := needRoom(b.Dir, size); err != nil {
		return err
	}
	file := filepath.Join(b.Dir, "file.bin")
	if err := makeFile(file, size); err != nil {
		return err
	}
	node, err := b.Start(ctx, "hashing")
	if err != nil {
		return err
	}
	defer node.Stop()
	sum := func(pieceLength int) func() error {
		return func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = content.Sum(ctx, f, size, pieceLength, false, nil)
			return err
		}
	}
	rows := []struct {
		name string
		run  func() error
		took []float64
	}{
		{name: "sha256sum", run: func() error { return exec.CommandContext(ctx, "sha256sum", file).Run() }},
		{name: "hashing alone, SHA-256 of its blocks", run: sum(0)},
		{name: "the same with SHA-1 of its pieces", run: sum(largestPiece)},
		{name: "`kith share`", run: func() error { return node.Run(ctx, "share", file) }},
	}
	for range o.rounds {
		for i := range rows {
			if _, err := sumOf(file); err != nil { // it is in memory from now on
				return err
			}
			began := time.Now()
			if err := rows[i].run(); err != nil {
				return fmt.Errorf("%s: %w", rows[i].name, err)
			}
			rows[i].took = append(rows[i].took, time.Since(began).Seconds())
		}
		if err := node.Run(ctx, "share", "stop", filepath.Base(file)); err != nil {
			return err
		}
	}
	fmt.Printf("| %d MiB | s | MB/s | times as fast as sha256sum | goal |\n|---|---:|---:|---:|---:|\n", size>>20)
	for i, r := range rows {
		goal := ""
		if i > 0 {
			goal = "1"
		}
		took := measure.Median(r.took)
		fmt.Printf("| %s | %.2f | %.0f | %s | %s |\n", r.name, took, float64(size)/1e6/took, measure.Ratios(rates(r.took), rates(rows[0].took)), goal)
	}
	return nil
}
