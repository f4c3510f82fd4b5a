package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// patience is how long a condition may take in real time on a busy machine.
const patience = 30 * time.Second

// A T is what a lab belongs to: a test, or what [Do] runs. Fatal and Skip end
// it.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}

// A Lab is a set of network namespaces: computers of their own as far as the
// network goes.
type Lab struct {
	// Dir is where programs run, "" for this process's directory.
	Dir string

	t      T
	prefix string
	homes  string // where members have theirs; "": in the test's own directory
}

var labs atomic.Int32

// New makes a lab, which vanishes with the test.
func New(t T) *Lab {
	t.Helper()
	require.Root(t)
	require.Tool(t, "ip")
	return &Lab{t: t, prefix: fmt.Sprintf("k%d-%d-", os.Getpid()%100000, labs.Add(1))}
}

// Computer makes a namespace with a loopback interface and nothing else.
func (l *Lab) Computer(name string) *Computer {
	l.t.Helper()
	c := &Computer{Name: name, t: l.t, ns: l.prefix + name, dir: l.Dir}
	ip(l.t, "netns", "add", c.ns)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", c.ns).Run() })
	c.IP("link", "set", "lo", "up")
	return c
}

// InMemory has the homes of members made in memory, so that no disk is in their
// way.
func (l *Lab) InMemory() {
	l.t.Helper()
	dir := l.t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		l.t.Fatalf("mount tmpfs: %v", err)
	}
	l.t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	l.homes = dir
}

// home makes a directory that vanishes with the test.
func (l *Lab) home(name string) string {
	l.t.Helper()
	if l.homes == "" {
		return l.t.TempDir()
	}
	dir := filepath.Join(l.homes, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

// Cable connects two computers as neighbours on one switch.
func (l *Lab) Cable(a, b *Computer) {
	l.t.Helper()
	ip(l.t, "link", "add", "eth0", "netns", a.ns, "type", "veth", "peer", "name", "eth0", "netns", b.ns)
	for _, c := range []*Computer{a, b} {
		c.IP("link", "set", "eth0", "multicast", "on", "up")
	}
}

func ip(t T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Do runs what uses labs in a program that is no test. It returns what that
// complained of, after its cleanup.
func Do(use func(T)) error {
	d := new(doing)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer d.clean()
		use(d)
	}()
	<-done
	return errors.Join(d.complaints...)
}

// A doing is the T of Do. It belongs to one goroutine.
type doing struct {
	complaints []error
	cleanups   []func()
}

func (d *doing) Helper()                         {}
func (d *doing) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (d *doing) Error(args ...any) {
	d.complaints = append(d.complaints, errors.New(fmt.Sprint(args...)))
}
func (d *doing) Errorf(format string, args ...any) { d.Error(fmt.Sprintf(format, args...)) }
func (d *doing) Fatalf(format string, args ...any) { d.Fatal(fmt.Sprintf(format, args...)) }
func (d *doing) Skip(args ...any)                  { d.Fatal(args...) }
func (d *doing) Failed() bool                      { return len(d.complaints) > 0 }
func (d *doing) Cleanup(f func())                  { d.cleanups = append(d.cleanups, f) }

func (d *doing) Fatal(args ...any) {
	d.Error(args...)
	runtime.Goexit()
}

func (d *doing) TempDir() string {
	dir, err := os.MkdirTemp("", "netlab-")
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// clean undoes, the newest first, also where one of the cleanups fails.
func (d *doing) clean() {
	if len(d.cleanups) == 0 {
		return
	}
	last := d.cleanups[len(d.cleanups)-1]
	d.cleanups = d.cleanups[:len(d.cleanups)-1]
	defer d.clean()
	last()
}
