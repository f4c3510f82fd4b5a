package harness

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// In a child process of a benchmark these say what it is to do.
const (
	roleVariable    = "KITH_BENCH_ROLE"
	profileVariable = "KITH_BENCH_PROFILE" // the file to write to, without its ending
)

// A Role is what the benchmark's program does in a process of its own, until
// ctx ends. It calls ready once, with what the benchmark wants to know of it.
type Role func(ctx context.Context, args []string, ready func(string)) error

// A Bench is a benchmark that runs. It belongs to one goroutine.
type Bench struct {
	Dir string // for files; removed at the end

	kith     string // the program
	profiles string // where profiles go; "": the real program runs, unprofiled
	nodes    []*Node
	peers    []func()
}

// Main runs a benchmark, or one of its roles, and exits. The benchmark has
// defined its flags; -profile is added.
func Main(name string, roles map[string]Role, run func(context.Context, *Bench) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(ctx, name, role, roles))
	}
	profiles := flag.String("profile", "", "write profiles of every process to this `DIR`")
	flag.Parse()
	if err := bench(ctx, name, *profiles, run); err != nil {
		fmt.Fprintf(os.Stderr, "bench/%s: %v\n", name, err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, name, profiles string, run func(context.Context, *Bench) error) (err error) {
	b := &Bench{}
	if b.Dir, err = os.MkdirTemp("", "bench-"+name+"-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.Dir)
	if profiles != "" {
		if b.profiles, err = filepath.Abs(profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return err
		}
	}
	b.kith = filepath.Join(b.Dir, "kith")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.kith, "kith.alt/kith/cmd/kith")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build kith: %w", err)
	}
	defer b.stop()
	began, before := time.Now(), load()
	if err := run(ctx, b); err != nil {
		return err
	}
	fmt.Printf("\n%s, %d cores, load average %s before and %s after %.0f s.\n",
		began.Format(time.DateOnly), runtime.NumCPU(), before, load(), time.Since(began).Seconds())
	return nil
}

func (b *Bench) stop() {
	for _, n := range b.nodes {
		n.Stop()
	}
	for _, stop := range b.peers {
		stop()
	}
}

// load is the system's load average over a minute, where it tells.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return string(bytes.Fields(text)[0])
}

// Peer runs a role in a process of its own and returns what it said when it was
// ready. The process ends with the benchmark, however that ends: it reads its
// standard input.
func (b *Bench) Peer(ctx context.Context, role string, args ...string) (said string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), AsRole(role))
	cmd.Stderr = os.Stderr
	if b.profiles != "" {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s", profileVariable, filepath.Join(b.profiles, fmt.Sprintf("%s-%d", role, len(b.peers)))))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	cmd.Cancel, cmd.WaitDelay = in.Close, patience
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := b.Keep(cmd); err != nil {
		return "", err
	}
	if _, err := fmt.Fscanln(out, &said); err != nil {
		return "", fmt.Errorf("%s did not get ready: %w", role, err)
	}
	return said, nil
}

// AsRole is what the environment of a process of this program holds that is to
// play a role. Peer sees to it.
func AsRole(role string) string { return roleVariable + "=" + role }

// Keep starts a command, which ends with the context that it was made with, at
// the latest with the benchmark.
func (b *Bench) Keep(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	b.peers = append(b.peers, func() {
		cmd.Cancel() // fails when it has ended
		cmd.Wait()
	})
	return nil
}

func play(ctx context.Context, name, role string, roles map[string]Role) int {
	if role == nodeRole {
		return profiled(ctx, runNode)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return profiled(ctx, func(ctx context.Context) int {
		if err := roles[role](ctx, os.Args[1:], func(said string) { fmt.Println(said) }); err != nil {
			fmt.Fprintf(os.Stderr, "bench/%s: %s: %v\n", name, role, err)
			return 1
		}
		return 0
	})
}
