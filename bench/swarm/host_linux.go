package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/kithtest/netlab"
)

const (
	patience = time.Minute // for a start
	grace    = 5 * time.Second
	poll     = 10 * time.Millisecond
)

// A swarm is a seed and takers that share one file, in a lab that vanishes with t.
// Whatever goes wrong ends t.
type swarm struct {
	t     netlab.T
	ctx   context.Context
	bench *harness.Bench
	file  string // as the seed has it
	size  int64
	label string  // of the profiles
	hosts []*host // the seed first

	link    string // by which the client names the file
	torrent string // the path of the one that describes it
}

// A host has a directory, an address and some processes.
type host struct {
	*netlab.Computer
	swarm     *swarm
	address   string
	dir       string
	processes []*process
	waiting   *process // which takes when it is told to
	profile   string   // where the profiles of its node go, without their endings
}

// newSwarm has computers share a file; the first is the seed's. Their files are below dir.
func newSwarm(t netlab.T, ctx context.Context, b *harness.Bench, dir, file string, size int64, computers ...*netlab.Computer) *swarm {
	s := &swarm{t: t, ctx: ctx, bench: b, file: file, size: size}
	for _, c := range computers {
		h := &host{Computer: c, swarm: s, dir: filepath.Join(dir, c.Name)}
		if err := os.Mkdir(h.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c.Inside(func() (err error) {
			h.address, err = addressOf("eth0")
			return err
		})
		s.hosts = append(s.hosts, h)
	}
	return s
}

// addressOf is the IPv4 address of a device.
func addressOf(device string) (string, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return "", err
	}
	addresses, err := i.Addrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			return prefix.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("%s has no address", device)
}

func (s *swarm) seed() *host { return s.hosts[0] }

// out is where a taker's file is to appear.
func (h *host) out() string { return filepath.Join(h.dir, filepath.Base(h.swarm.file)) }

// A process runs on a host until it ends by itself or with the swarm.
type process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // that it prints
	done  chan struct{}
	err   error // set when done is closed

	stopped  bool // or about to be
	collects bool // it prints what it has in memory when it is asked
}

// start starts a command on the host.
func (h *host) start(program string, args ...string) *process {
	return h.run(exec.Command(program, args...))
}

// run is start of a command that has more to it than its arguments.
func (h *host) run(cmd *exec.Cmd) *process {
	t := h.swarm.t
	t.Helper()
	name := filepath.Base(cmd.Path)
	cmd = h.On(cmd)
	cmd.Dir = h.dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(h.dir, fmt.Sprintf("log-%d", len(h.processes))))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: cmd, in: in, lines: make(chan string, 64), done: make(chan struct{})}
	h.processes = append(h.processes, p)
	t.Cleanup(p.stop)
	go func() {
		defer close(p.done)
		for said := bufio.NewScanner(out); said.Scan(); {
			select {
			case p.lines <- said.Text():
			default: // nobody listens any more
			}
		}
		p.err = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && p.err != nil {
			p.err = fmt.Errorf("%w: %.400s", p.err, text)
		}
		log.Close()
	}()
	return p
}

// says waits until the process prints a line.
func (h *host) says(p *process, line string) {
	h.swarm.t.Helper()
	for h.prints(p, line) != line {
	}
}

// prints waits for a line that begins so.
func (h *host) prints(p *process, prefix string) string {
	t := h.swarm.t
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case said := <-p.lines:
			if strings.HasPrefix(said, prefix) {
				return said
			}
		case <-p.done:
			t.Fatalf("%s ended on %s: %v", p.name, h.Name, p.err)
		case <-late.C:
			t.Fatalf("%s does not say %q on %s", p.name, prefix, h.Name)
		case <-h.swarm.ctx.Done():
			t.Fatal(context.Cause(h.swarm.ctx))
		}
	}
}

// tell has the process go on that waits for a line.
func (p *process) tell() { io.WriteString(p.in, "\n") } // fails when it has ended

// said reports whether the process has printed a line.
func (p *process) said(line string) bool {
	for {
		select {
		case said := <-p.lines:
			if said == line {
				return true
			}
		default:
			return false
		}
	}
}

// eventually waits until something is so.
func (h *host) eventually(orElse string, so func() bool) {
	t := h.swarm.t
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if h.living(); time.Now().After(deadline) {
			t.Fatal(orElse)
		}
	}
}

// living ends the swarm when one of the host's processes has failed, or it is to end.
func (h *host) living() {
	for _, p := range h.processes {
		h.ended(p)
	}
	if err := context.Cause(h.swarm.ctx); err != nil {
		h.swarm.t.Fatal(err)
	}
}

// ended reports whether the process has, which may only be in peace.
func (h *host) ended(p *process) bool {
	select {
	case <-p.done:
		if p.err != nil && !p.stopped {
			h.swarm.t.Fatalf("%s on %s: %v", p.name, h.Name, p.err)
		}
		return true
	default:
		return false
	}
}

// stop ends the process and waits. It may be called again.
func (p *process) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	p.stopped = true
	p.in.Close()
	p.cmd.Process.Signal(os.Interrupt) // fails when it has ended
	select {
	case <-p.done:
	case <-time.After(grace):
		p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.done
	}
}

// stop ends what runs on the host. The files stay.
func (h *host) stop() {
	for _, p := range h.processes {
		p.stopped = true // some fail when others end
	}
	for _, p := range h.processes {
		p.stop()
	}
}

// cpu is the processor time of the processes so far, the kernel's part included.
func (h *host) cpu() time.Duration {
	var sum time.Duration
	for _, p := range h.processes {
		select {
		case <-p.done:
			sum += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
			continue
		default:
		}
		used, err := measure.CPUTime(p.cmd.Process.Pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			h.swarm.t.Fatal(err)
		}
		sum += used
	}
	return sum
}
