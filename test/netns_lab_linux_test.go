package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// A lab is a set of network namespaces: computers of their own as far as the
// network goes. They vanish with the test. The Internet between them is in
// netns_internet_linux_test.go, homes and their routers in
// netns_router_linux_test.go.
type lab struct {
	t      *testing.T
	prefix string
}

var labs atomic.Int32

func newLab(t *testing.T) *lab {
	t.Helper()
	require.Root(t)
	require.Tool(t, "ip")
	return &lab{t: t, prefix: fmt.Sprintf("k%d-%d-", os.Getpid()%100000, labs.Add(1))}
}

// computer makes a namespace with a loopback interface and nothing else.
func (l *lab) computer(name string) *computer {
	l.t.Helper()
	c := &computer{t: l.t, name: name, ns: l.prefix + name}
	l.run("netns", "add", c.ns)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", c.ns).Run() })
	l.run("-n", c.ns, "link", "set", "lo", "up")
	return c
}

// cable connects two computers as neighbours on one switch.
func (l *lab) cable(a, b *computer) {
	l.t.Helper()
	l.run("link", "add", "eth0", "netns", a.ns, "type", "veth", "peer", "name", "eth0", "netns", b.ns)
	for _, c := range []*computer{a, b} {
		l.run("-n", c.ns, "link", "set", "eth0", "multicast", "on", "up")
	}
}

// address gives the computer this address, with prefix, in place of any other.
func (l *lab) address(c *computer, address string) {
	l.t.Helper()
	l.run("-n", c.ns, "address", "flush", "dev", "eth0", "scope", "global")
	l.run("-n", c.ns, "address", "add", address, "dev", "eth0")
}

func (l *lab) run(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// A computer runs programs in its namespace.
type computer struct {
	t    *testing.T
	name string
	ns   string
}

// ip configures the computer's network.
func (c *computer) ip(args ...string) {
	c.t.Helper()
	(&lab{t: c.t}).run(append([]string{"-n", c.ns}, args...)...)
}

// configure gives a device of the computer this address, with prefix, in place
// of any other, and has everything else go through it to the gateway.
func (c *computer) configure(device, address, gateway string) {
	c.t.Helper()
	c.ip("address", "flush", "dev", device, "scope", "global")
	c.ip("address", "add", address, "dev", device)
	c.ip("route", "replace", "default", "via", gateway, "dev", device)
}

// inside runs do on the computer's network: sockets and devices that it opens
// belong to the computer, and may be used by everybody afterwards.
func (c *computer) inside(do func() error) {
	c.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- func() error {
			ns, err := os.Open("/run/netns/" + c.ns)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("setns: %w", err)
			}
			return do()
		}()
	}()
	if err := <-done; err != nil {
		c.t.Fatalf("on %s: %v", c.name, err)
	}
}

// listenUDP opens a UDP socket on the computer, until the test ends.
func (c *computer) listenUDP(address string) *net.UDPConn {
	c.t.Helper()
	var conn *net.UDPConn
	c.inside(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		return err
	})
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// listenTCP opens a TCP listener on the computer, until the test ends.
func (c *computer) listenTCP(address string) net.Listener {
	c.t.Helper()
	var ln net.Listener
	c.inside(func() (err error) {
		ln, err = net.Listen("tcp4", address)
		return err
	})
	c.t.Cleanup(func() { ln.Close() })
	return ln
}

// command is a line of a shell in the repository, on this computer, for a
// person with a home of her own.
func (c *computer) command(line, home string) *exec.Cmd {
	cmd := exec.Command("ip", "netns", "exec", c.ns, "sh", "-c", line)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(home, "data"), "KITH_DATA=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// output runs a line to its end.
func (c *computer) output(line, home string) (string, error) {
	cmd := c.command(line, home)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", line, err, errors.String())
	}
	return string(out), nil
}

// must is output of a line that has to succeed.
func (c *computer) must(line, home string) string {
	c.t.Helper()
	out, err := c.output(line, home)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// start runs a line until the test ends or stop is called, and waits until it
// prints "ready". It returns what was printed before.
func (c *computer) start(line, home string) (printed string, stop func()) {
	c.t.Helper()
	p := c.launch(line, home)
	return p.printed, p.stop
}

// A program runs on a computer until the test ends, or sooner.
type program struct {
	c       *computer
	line    string
	printed string // before "ready"
	group   int    // its processes
	done    chan struct{}
	err     error // set when done is closed
	killed  atomic.Bool
}

// readyPatience is for the slowest start: to join through the DHT.
const readyPatience = 5 * time.Minute

// launch is start for those who do more with the program than stop it.
func (c *computer) launch(line, home string) *program {
	c.t.Helper()
	cmd := c.command("exec "+line, home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	p := &program{c: c, line: line, group: cmd.Process.Pid, done: make(chan struct{})}
	c.t.Cleanup(p.stop)
	late := time.AfterFunc(readyPatience, func() { p.signal(syscall.SIGKILL) })
	var ready bool
	p.printed, ready = readUntilReady(out)
	late.Stop()
	go func() {
		io.Copy(io.Discard, out)
		p.err = cmd.Wait()
		if errors.Len() > 0 && (c.t.Failed() || p.err != nil && !p.killed.Load()) {
			c.t.Logf("%s said on %s:\n%s", line, c.name, errors.String())
		}
		close(p.done)
	}()
	if !ready {
		<-p.done
		c.t.Fatalf("%s: %s%s", line, p.printed, errors.String())
	}
	return p
}

// stop interrupts the program and waits for its end, which is in peace if it is
// kith. It may be called again.
func (p *program) stop() {
	p.signal(syscall.SIGINT)
	p.signal(syscall.SIGCONT)
	select {
	case <-p.done:
		if p.err != nil && !p.killed.Load() && strings.HasPrefix(p.line, "kith ") {
			p.c.t.Errorf("%s ends on %s: %v", p.line, p.c.name, p.err)
		}
	case <-time.After(patience):
		p.kill()
		p.c.t.Errorf("%s does not end on %s", p.line, p.c.name)
	}
}

// kill ends the program without a warning.
func (p *program) kill() {
	p.killed.Store(true)
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *program) signal(signal syscall.Signal) {
	select {
	case <-p.done: // the number may be another's by now
	default:
		syscall.Kill(-p.group, signal)
	}
}

// eventually repeats a line until its output matches.
func (c *computer) eventually(line, home, pattern string) {
	c.t.Helper()
	want := regexp.MustCompile(pattern)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var out string
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if out, err = c.output(line, home); err == nil && want.MatchString(out) {
			return
		}
	}
	c.t.Fatalf("%s: never %q on %s; last:\n%s%v", line, pattern, c.name, out, err)
}
