package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Computer runs programs in its namespace.
type Computer struct {
	Name string

	t   T
	ns  string
	dir string
}

// IP configures the computer's network: "ip ARG..." in its namespace.
func (c *Computer) IP(args ...string) {
	c.t.Helper()
	ip(c.t, append([]string{"-n", c.ns}, args...)...)
}

// SetAddress gives the computer's eth0 this address, with prefix, in place of
// any other.
func (c *Computer) SetAddress(address string) { c.setAddress("eth0", address) }

func (c *Computer) setAddress(device, address string) {
	c.t.Helper()
	c.IP("address", "flush", "dev", device, "scope", "global")
	c.IP("address", "add", address, "dev", device)
}

// Address returns the IPv4 address of the computer's eth0.
func (c *Computer) Address() (address netip.Addr) {
	c.t.Helper()
	c.Inside(func() error {
		device, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		list, err := device.Addrs()
		if err != nil {
			return err
		}
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				address = p.Addr()
				return nil
			}
		}
		return errors.New("no IPv4 address")
	})
	return address
}

// configure gives a device of the computer this address, and has everything
// else go through it to the gateway.
func (c *Computer) configure(device, address, gateway string) {
	c.t.Helper()
	c.setAddress(device, address)
	c.IP("route", "replace", "default", "via", gateway, "dev", device)
}

// Inside runs do on the computer's network: sockets and devices that it opens
// belong to the computer, and may be used by everybody afterwards.
func (c *Computer) Inside(do func() error) {
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
		c.t.Fatalf("on %s: %v", c.Name, err)
	}
}

// ListenUDP opens a UDP socket on the computer, until the test ends.
func (c *Computer) ListenUDP(address string) *net.UDPConn {
	c.t.Helper()
	var conn *net.UDPConn
	c.Inside(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		return err
	})
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// ListenTCP opens a TCP listener on the computer, until the test ends.
func (c *Computer) ListenTCP(address string) net.Listener {
	c.t.Helper()
	var ln net.Listener
	c.Inside(func() (err error) {
		ln, err = net.Listen("tcp4", address)
		return err
	})
	c.t.Cleanup(func() { ln.Close() })
	return ln
}

// On has a command, that was not started yet, run on this computer.
func (c *Computer) On(cmd *exec.Cmd) *exec.Cmd {
	inside := exec.Command("ip", append([]string{"netns", "exec", c.ns, cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path, cmd.Args, cmd.Err = inside.Path, inside.Args, inside.Err
	return cmd
}

// Command is a line of a shell on this computer, for a person with a home of
// her own.
func (c *Computer) Command(line, home string) *exec.Cmd {
	cmd := c.On(exec.Command("sh", "-c", line))
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(home, "data"), "KITH_DATA=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Output runs a line to its end, and returns what it printed.
func (c *Computer) Output(line, home string) (string, error) {
	cmd := c.Command(line, home)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", line, err, said.String())
	}
	return string(out), nil
}

// Must is Output of a line that has to succeed.
func (c *Computer) Must(line, home string) string {
	c.t.Helper()
	out, err := c.Output(line, home)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// Eventually repeats a line until its output matches.
func (c *Computer) Eventually(line, home, pattern string) {
	c.t.Helper()
	want := regexp.MustCompile(pattern)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var out string
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if out, err = c.Output(line, home); err == nil && want.MatchString(out) {
			return
		}
	}
	c.t.Fatalf("%s: never %q on %s; last:\n%s%v", line, pattern, c.Name, out, err)
}
