package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/cli"
	"kith.alt/kith/kithtest/netlab"
)

const (
	shares     = 1000
	sharedSize = 64 << 10
	rest       = 5 * time.Second // before memory is measured
)

// A holder is a process that seeds many files.
type holder struct {
	name  string
	lacks func() string

	// start starts it, and returns what has it seed the files.
	start func(h *host, files []string) (p *process, seed func())
}

// memory compares what 1,000 shares take.
func memory(ctx context.Context, b *harness.Bench, o options) error {
	fmt.Printf("| %d shares of %d KiB | resident before, MB | with them | kB a share | after a collection | heap and stacks | time for all, s |\n", shares, sharedSize>>10)
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|")
	for _, holds := range []holder{kithHolder, libtorrentHolder} {
		if !strings.Contains(holds.name, o.client) {
			continue
		}
		if lacks := holds.lacks(); lacks != "" {
			fmt.Fprintf(os.Stderr, "%s is left out: %s\n", holds.name, lacks)
			continue
		}
		err := netlab.Do(func(t netlab.T) {
			dir, err := os.MkdirTemp(b.Dir, "holder-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			s := &swarm{t: t, ctx: ctx, bench: b, label: "memory"}
			h := &host{Computer: netlab.New(t).Computer("holder"), swarm: s, address: "127.0.0.1", dir: dir}
			files := make([]string, shares)
			for i := range files {
				files[i] = filepath.Join(dir, fmt.Sprintf("file-%04d.bin", i))
				if err := makeFile(files[i], sharedSize, byte(i), byte(i>>8)); err != nil {
					t.Fatal(err)
				}
			}
			p, seed := holds.start(h, files)
			before := h.memory(p)
			began := time.Now()
			seed()
			took := time.Since(began)
			with := h.memory(p)
			each := func(with, before uint64) string {
				if with == 0 {
					return ""
				}
				return fmt.Sprintf("%.1f", (float64(with)-float64(before))/1e3/shares)
			}
			fmt.Printf("| %s | %.1f | %.1f | %s | %s | %s | %.1f |\n", holds.name, float64(before.resident)/1e6, float64(with.resident)/1e6,
				each(with.resident, before.resident), each(with.collected, before.collected), each(with.heap, before.heap), took.Seconds())
		})
		if err != nil {
			return fmt.Errorf("%s: %w", holds.name, err)
		}
	}
	return nil
}

// footprint is what a process has in memory, in bytes. What Go alone knows is 0 of others.
type footprint struct{ resident, collected, heap uint64 }

// memory measures a process that has nothing to do.
func (h *host) memory(p *process) (f footprint) {
	t := h.swarm.t
	<-time.After(rest)
	h.living()
	var err error
	if f.resident, err = measure.ResidentMemory(p.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if !p.collects {
		return f
	}
	p.cmd.Process.Signal(syscall.SIGUSR1)
	line := h.prints(p, "memory ")
	if _, err := fmt.Sscanf(line, "memory %d %d", &f.heap, &f.collected); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return f
}

const nodeRole = "node"

// runNode is the role of a node that prints, at SIGUSR1, what it has in memory after
// a collection.
func runNode(ctx context.Context, args []string, _ func(string)) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			resident, err := measure.ResidentMemory(os.Getpid())
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			fmt.Println("memory", m.HeapAlloc+m.StackInuse, resident)
		}
	}()
	if status := cli.Main(ctx, args, strings.NewReader(""), os.Stdout, os.Stderr); status != 0 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

var kithHolder = holder{
	name:  "kith",
	lacks: programs(),
	start: func(h *host, files []string) (*process, func()) {
		s := h.swarm
		self, err := os.Executable()
		if err != nil {
			s.t.Fatal(err)
		}
		cmd := exec.Command(self, "--data", h.data(), "up", "--name", h.Name)
		if _, err := s.bench.Profile(cmd, s.label+"-"+h.Name); err != nil {
			s.t.Fatal(err)
		}
		cmd.Env = append(cmd.Environ(), harness.AsRole(nodeRole))
		p := h.run(cmd)
		p.collects = true
		h.says(p, "ready")
		node := h.control()
		return p, func() {
			for _, file := range files {
				if err := node.API(s.ctx, "share", http.MethodPut, "/shares", map[string]string{"path": file}, nil); err != nil {
					s.t.Fatalf("share %s: %v", file, err)
				}
			}
		}
	},
}

var libtorrentHolder = holder{
	name:  "libtorrent",
	lacks: lacksLibtorrent,
	start: func(h *host, files []string) (*process, func()) {
		torrents := make([]string, len(files))
		for i, file := range files {
			torrents[i] = file + ".torrent"
			if err := writeTorrent(torrents[i], file, "", pieceLength(sharedSize)); err != nil {
				h.swarm.t.Fatal(err)
			}
		}
		p := h.libtorrent(h.dir, "plain", torrents...)
		return p, func() {
			p.tell()
			h.says(p, "complete")
		}
	},
}
