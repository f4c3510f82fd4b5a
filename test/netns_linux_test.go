package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
)

// A lab is a set of network namespaces: computers of their own as far as the
// network goes. They vanish with the test.
type lab struct {
	t      *testing.T
	prefix string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	require.Root(t)
	require.Tool(t, "ip")
	return &lab{t: t, prefix: fmt.Sprintf("k%d", os.Getpid()%100000)}
}

// computer makes a namespace with a loopback interface and nothing else.
func (l *lab) computer(name string) *computer {
	l.t.Helper()
	c := &computer{t: l.t, ns: l.prefix + name}
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
	t  *testing.T
	ns string
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
	cmd := c.command(line, home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	stop = sync.OnceFunc(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		select {
		case <-done:
		case <-time.After(patience):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			c.t.Errorf("%s does not end", line)
		}
	})
	c.t.Cleanup(stop)
	printed, ready := readUntilReady(out)
	go func() {
		io.Copy(io.Discard, out)
		cmd.Wait()
		close(done)
	}()
	if !ready {
		<-done
		c.t.Fatalf("%s: %s%s", line, printed, errors.String())
	}
	return printed, stop
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
	c.t.Fatalf("%s: never %q; last:\n%s%v", line, pattern, out, err)
}

// build builds the program once for a test.
func build(t *testing.T) string {
	t.Helper()
	kith := filepath.Join(t.TempDir(), "kith")
	cmd := exec.Command("go", "build", "-o", kith, "./cmd/kith")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return kith
}

// TestNeighbours has two computers on one switch, without any router: they join
// by a ticket, and after both were off and came back under other addresses they
// find each other by multicast alone.
func TestNeighbours(t *testing.T) {
	l := newLab(t)
	kith := build(t)
	maple, oak := l.computer("maple"), l.computer("oak")
	l.cable(maple, oak)
	l.address(maple, "10.77.0.1/24")
	l.address(oak, "10.77.0.2/24")
	hers, his := t.TempDir(), t.TempDir()

	_, stopMaple := maple.start(kith+" --name maple", hers)
	ticket := strings.TrimSpace(maple.must(kith+" invite", hers))
	_, stopOak := oak.start(kith+" join "+ticket+" --name oak", his)
	maple.eventually(kith+" members", hers, `oak\*? +awake +lan`)
	oak.eventually(kith+" members", his, `maple\*? +awake +lan`)

	stopMaple()
	stopOak()
	l.address(maple, "10.78.0.1/24")
	l.address(oak, "10.78.0.2/24")
	maple.start(kith, hers)
	oak.start(kith, his)
	maple.eventually(kith+" members", hers, `oak\*? +awake +lan`)
	oak.eventually(kith+" members", his, `maple\*? +awake +lan`)
}

// TestOneComputer has two nodes on a computer that has nothing but loopback:
// after one has taken another port, they find each other by multicast.
func TestOneComputer(t *testing.T) {
	l := newLab(t)
	kith := build(t)
	c := l.computer("one")
	hers, his := t.TempDir(), t.TempDir()
	_, stopMaple := c.start(kith+" --name maple", hers)
	ticket := strings.TrimSpace(c.must(kith+" invite", hers))
	_, stopOak := c.start(kith+" join "+ticket+" --name oak", his)
	c.eventually(kith+" members", hers, `oak\*? +awake`)
	stopMaple()
	stopOak()
	c.start(kith+" --overlay-port 5001", hers)
	c.start(kith+" --overlay-port 5002", his)
	c.eventually(kith+" members", hers, `oak\*? +awake`)
	c.eventually(kith+" members", his, `maple\*? +awake`)
}
