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

// build compiles an example of docs/examples and returns the program's path.
func build(t *testing.T, example string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(example))
	if out, err := exec.Command("go", "build", "-o", program, "../docs/examples/"+example).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", example, err, out)
	}
	return program
}

// programOn is a command of a person at a node.
func programOn(n *kithtest.Node, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "KITH_DATA="+n.Config.Data)
	return cmd
}

// TestSockets runs the tutorial of docs/sockets.md: the upper-casing server and
// client, in Go and in Python, each with each.
func TestSockets(t *testing.T) {
	require.Tool(t, "python3")
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	server, client := build(t, "sockets/server"), build(t, "sockets/client")
	goServer := programOn(maple, server, "7000")
	run(t, goServer, "ready to receive")
	printed := run(t, programOn(maple, "python3", "../docs/examples/sockets/server.py", "0"), `ready to receive on port \d+`)
	local := printed[strings.LastIndexByte(printed, ' ')+1:]
	kithOn(t, maple, "expose", local, "--to", "7001")
	_, socks, err := net.SplitHostPort(listener(t, oak, "proxy"))
	if err != nil {
		t.Fatal(err)
	}

	for name, client := range map[string]*exec.Cmd{
		"Go to Go":         programOn(oak, client, "maple:7000"),
		"Go to Python":     programOn(oak, client, "maple:7001"),
		"Python to Go":     programOn(oak, "python3", "../docs/examples/sockets/client.py", "maple", "7000", socks),
		"Python to Python": programOn(oak, "python3", "../docs/examples/sockets/client.py", "maple", "7001", socks),
		"a host to itself": programOn(maple, client, "maple:7000"),
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
	again := programOn(maple, server, "7000")
	for range 100 { // the node sees the end of the process when the kernel says so
		if out, err := exec.Command("kith", "--data", oak.Config.Data, "dial", "maple", "7000").CombinedOutput(); err != nil && bytes.Contains(out, []byte("nobody listens")) {
			break
		}
	}
	run(t, again, "ready to receive")
}

// TestDatagrams runs the part of docs/sockets.md about datagrams: the server in
// Go, and the clients in Go and in Python.
func TestDatagrams(t *testing.T) {
	require.Tool(t, "python3")
	m := kithtest.New(t, "maple", "oak")
	maple, oak := m.Nodes[0], m.Nodes[1]
	server, client := build(t, "datagrams/server"), build(t, "datagrams/client")
	serving := programOn(maple, server, "7000")
	run(t, serving, "ready to receive")
	_, socks, err := net.SplitHostPort(listener(t, oak, "proxy"))
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*exec.Cmd{
		"Go":               programOn(oak, client, "maple:7000"),
		"Python":           programOn(oak, "python3", "../docs/examples/datagrams/client.py", "maple", "7000", socks),
		"a host to itself": programOn(maple, client, "maple:7000"),
	} {
		client.Stdin = strings.NewReader("hello, world\n")
		out, err := client.CombinedOutput()
		if err != nil || !bytes.HasSuffix(out, []byte("From Server: HELLO, WORLD\n")) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}

	// A process that dies takes its port with it.
	serving.Process.Kill()
	serving.Wait()
	for range 100 { // the node sees the end of the process when the kernel says so
		again := programOn(maple, server, "7000")
		if out, err := again.StderrPipe(); err == nil && again.Start() == nil {
			_, ready := waitForLine(out, regexp.MustCompile("ready to receive"))
			again.Process.Kill()
			again.Wait()
			if ready {
				return
			}
		}
	}
	t.Error("the port of a process that was killed is not free")
}
