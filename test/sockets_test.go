package test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kith.alt/kith/kithtest"
	"kith.alt/kith/kithtest/require"
)

// run starts a program that serves until the test ends, and returns the first
// line it prints that matches.
func run(t *testing.T, cmd *exec.Cmd, ready string) string {
	t.Helper()
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		in.Close()
	})
	line, ok := waitForLine(out, regexp.MustCompile(ready))
	if !ok {
		t.Fatalf("%v never says %q", cmd.Args, ready)
	}
	go io.Copy(io.Discard, out)
	return line
}

// TestSockets runs the tutorial of docs/sockets.md: the upper-casing server and
// client, in Go and in Python, each with each.
func TestSockets(t *testing.T) {
	require.Tool(t, "python3")
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	bin := t.TempDir()
	for _, name := range []string{"server", "client"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, name), "../docs/examples/sockets/"+name).CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", name, err, out)
		}
	}
	on := func(n *kithtest.Node, name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "KITH_DATA="+n.Config.Data)
		return cmd
	}
	goServer := on(maple, filepath.Join(bin, "server"), "7000")
	run(t, goServer, "ready to receive")
	printed := run(t, on(maple, "python3", "../docs/examples/sockets/server.py", "0"), `ready to receive on port \d+`)
	local := printed[strings.LastIndexByte(printed, ' ')+1:]
	kithOn(t, maple, "expose", local, "--to", "7001")
	_, socks, err := net.SplitHostPort(listener(t, oak, "proxy"))
	if err != nil {
		t.Fatal(err)
	}

	for name, client := range map[string]*exec.Cmd{
		"Go to Go":         on(oak, filepath.Join(bin, "client"), "maple:7000"),
		"Go to Python":     on(oak, filepath.Join(bin, "client"), "maple:7001"),
		"Python to Go":     on(oak, "python3", "../docs/examples/sockets/client.py", "maple", "7000", socks),
		"Python to Python": on(oak, "python3", "../docs/examples/sockets/client.py", "maple", "7001", socks),
		"a host to itself": on(maple, filepath.Join(bin, "client"), "maple:7000"),
	} {
		client.Stdin = strings.NewReader("hello, world\n")
		out, err := client.CombinedOutput()
		if err != nil || !bytes.HasSuffix(out, []byte("From Server: HELLO, WORLD\n")) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}

	// A process that dies takes its port with it.
	goServer.Process.Kill()
	goServer.Wait()
	again := on(maple, filepath.Join(bin, "server"), "7000")
	for range 100 { // the node sees the end of the process when the kernel says so
		if out, err := exec.Command("kith", "--data", oak.Config.Data, "dial", "maple", "7000").CombinedOutput(); err != nil && bytes.Contains(out, []byte("nobody listens")) {
			break
		}
	}
	run(t, again, "ready to receive")
}
