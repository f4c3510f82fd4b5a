package netlab

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// readyPatience is for the slowest start: to join through the DHT.
const readyPatience = 5 * time.Minute

// A Program runs on a computer until the test ends, or sooner.
type Program struct {
	Printed string // before "ready"

	c      *Computer
	line   string
	group  int // its processes
	done   chan struct{}
	err    error // set when done is closed
	died   bool  // likewise: it ended by itself
	killed atomic.Bool
}

// Start runs a line until the test ends or the program is stopped, and waits
// until it prints "ready".
func (c *Computer) Start(line, home string) *Program {
	c.t.Helper()
	cmd := c.Command("exec "+line, home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	p := &Program{c: c, line: line, group: cmd.Process.Pid, done: make(chan struct{})}
	c.t.Cleanup(func() {
		p.Stop()
		if errors.Len() > 0 && (c.t.Failed() || p.died) {
			c.t.Logf("%s said on %s:\n%s", line, c.Name, errors.String())
		}
	})
	late := time.AfterFunc(readyPatience, func() { p.Signal(syscall.SIGKILL) })
	ready := p.awaitReady(out)
	late.Stop()
	go func() {
		io.Copy(io.Discard, out)
		p.err = cmd.Wait()
		p.died = p.err != nil && !p.killed.Load()
		close(p.done)
	}()
	if !ready {
		<-p.done
		c.t.Fatalf("%s: %s%s", line, p.Printed, errors.String())
	}
	return p
}

// awaitReady reports false when the program ends before it is ready.
func (p *Program) awaitReady(out io.Reader) bool {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.Printed += lines.Text() + "\n"
		if lines.Text() == "ready" {
			return true
		}
	}
	return false
}

// Stop interrupts the program and waits for its end, which is in peace if it is
// kith. It may be called again.
func (p *Program) Stop() {
	p.Signal(syscall.SIGINT)
	p.Signal(syscall.SIGCONT)
	select {
	case <-p.done:
		if p.err != nil && !p.killed.Load() && strings.HasPrefix(p.line, "kith ") {
			p.c.t.Errorf("%s ends on %s: %v", p.line, p.c.Name, p.err)
		}
	case <-time.After(patience):
		p.Kill()
		p.c.t.Errorf("%s does not end on %s", p.line, p.c.Name)
	}
}

// Kill ends the program without a warning.
func (p *Program) Kill() {
	p.killed.Store(true)
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Exits waits until the program ends by itself, with this code.
func (p *Program) Exits(code int) {
	p.c.t.Helper()
	p.killed.Store(true) // that it ends is no complaint
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		p.c.t.Fatalf("%s on %s does not end", p.line, p.c.Name)
	}
	if exit, ok := p.err.(*exec.ExitError); !ok || exit.ExitCode() != code {
		p.c.t.Errorf("%s on %s ended with %v", p.line, p.c.Name, p.err)
	}
}

// Signal sends a signal to all processes of the program.
func (p *Program) Signal(signal syscall.Signal) {
	select {
	case <-p.done: // the number may be another's by now
	default:
		syscall.Kill(-p.group, signal)
	}
}
