package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kith.alt/kith/cli"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/require"
)

// patience is how long a condition may take in real time on a busy machine.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kith": func() {
			if os.Getenv(nodeVariable) != "" {
				os.Exit(runMailNode())
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts follows people at the command line: the files of testdata/script.
// Beside the commands of testscript they have
//
//	start NAME [ARG...]  runs "kith ARG..." on the data directory NAME, binding
//	                     loopback only, and waits for the line "ready"; stdout is
//	                     what it printed until then. It is told to end, and must
//	                     exit 0, when the script ends or by "halt NAME". A data
//	                     directory that is there has its ports, but for --port-base=free.
//	on NAME VERB [ARG...] runs "kith VERB ARG..." on that data directory
//	until COMMAND...     repeats a command until it succeeds
//	fetch URL            gets a page with curl
//	set VAR NAME KEY     sets an environment variable from the node's status:
//	                     dashboard, site, id, proxy, or site:HOST
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			earlier, err := filepath.Abs("testdata/earlier")
			if err != nil {
				return err
			}
			env.Setenv("EARLIER", earlier)
			env.Setenv("XDG_DATA_HOME", "")
			env.Values[nodesKey{}] = make(map[string]*process)
			return nil
		},
		Condition: func(name string) (bool, error) {
			tool, ok := strings.CutPrefix(name, "tool:")
			if !ok {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			require.Tool(t, tool)
			return true, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start,
			"halt":  func(ts *testscript.TestScript, neg bool, args []string) { halt(ts, args[0], os.Interrupt) },
			"kill":  func(ts *testscript.TestScript, neg bool, args []string) { halt(ts, args[0], os.Kill) },
			"on":    on,
			"until": until,
			"set":   set,
			"fetch": fetch,
			"serve": serve,
			"env-from": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
			},
		},
	})
}

type nodesKey struct{}

// A process is a running kith.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

func data(ts *testscript.TestScript, name string) string { return ts.MkAbs(name) }

func start(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: start NAME [ARG...]")
	}
	name := args[0]
	kith, err := exec.LookPath("kith")
	ts.Check(err)
	line := []string{"--data", data(ts, name), "--overlay-host", "127.0.0.1"}
	if _, err := os.Stat(data(ts, name)); err != nil {
		line = append(line, "--port-base", freeBase(ts))
	}
	for _, arg := range args[1:] {
		if arg == "--port-base=free" {
			arg = "--port-base=" + freeBase(ts)
		}
		line = append(line, arg)
	}
	cmd := exec.Command(kith, line...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("WORK"))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, done: make(chan error, 1)}
	printed, ready := readUntilReady(out)
	go func() {
		io.Copy(io.Discard, out)
		p.done <- cmd.Wait()
	}()
	fmt.Fprint(ts.Stdout(), printed)
	if !ready {
		err := <-p.done
		fmt.Fprint(ts.Stderr(), complaints.String())
		if !neg {
			ts.Fatalf("kith %s: %v\n%s%s", strings.Join(line, " "), err, printed, complaints.String())
		}
		if err == nil {
			ts.Fatalf("kith %s ended with exit code 0", strings.Join(line, " "))
		}
		return
	}
	nodes := ts.Value(nodesKey{}).(map[string]*process)
	nodes[name] = p
	ts.Defer(func() {
		if nodes[name] == p {
			halt(ts, name, os.Interrupt)
		}
	})
	if neg {
		ts.Fatalf("kith %s runs", strings.Join(line, " "))
	}
}

// freeBase finds a port base whose first ports are free: scripts run side by
// side, and must find their ports free again when they start a node again.
func freeBase(ts *testscript.TestScript) string {
	for range 100 {
		base := 20000 + 40*rand.IntN(280) // below the ports that systems hand out
		free := 0
		for port := base; port < base+2; port++ {
			if ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
				ln.Close()
				free++
			}
		}
		if free == 2 {
			return strconv.Itoa(base)
		}
	}
	ts.Fatalf("no free ports")
	return ""
}

func readUntilReady(out io.Reader) (printed string, ready bool) {
	var b strings.Builder
	_, ready = waitForLine(io.TeeReader(out, &b), regexp.MustCompile("^ready$"))
	return b.String(), ready
}

// waitForLine reads lines until one matches.
func waitForLine(r io.Reader, pattern *regexp.Regexp) (line string, found bool) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if pattern.MatchString(lines.Text()) {
			return lines.Text(), true
		}
	}
	return "", false
}

func halt(ts *testscript.TestScript, name string, signal os.Signal) {
	nodes := ts.Value(nodesKey{}).(map[string]*process)
	p := nodes[name]
	if p == nil {
		ts.Fatalf("no node runs on %s", name)
	}
	delete(nodes, name)
	if err := p.cmd.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		ts.Check(err)
	}
	select {
	case err := <-p.done:
		if err != nil && signal == os.Interrupt {
			ts.Fatalf("node %s: %v", name, err)
		}
	case <-time.After(patience):
		p.cmd.Process.Kill()
		ts.Fatalf("node %s does not end", name)
	}
}

func on(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("kith", append([]string{"--data", data(ts, args[0])}, args[1:]...)...)
	if neg != (err != nil) {
		ts.Fatalf("kith %s: %v", strings.Join(args[1:], " "), err)
	}
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if args[0] == "on" {
		args = append([]string{"kith", "--data", data(ts, args[1])}, args[2:]...)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		if err := ts.Exec(args[0], args[1:]...); neg == (err != nil) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("%s: still %v", strings.Join(args, " "), err)
		}
	}
}

func set(ts *testscript.TestScript, neg bool, args []string) {
	client := control.NewClient(data(ts, args[1]))
	defer client.Close()
	status, err := client.Status(context.Background())
	ts.Check(err)
	value := ""
	switch key, host, _ := strings.Cut(args[2], ":"); key {
	case "dashboard":
		value = status.Dashboard
	case "id":
		value = status.ID.String()
	case "proxy":
		for _, l := range status.Listeners {
			if l.Protocol == "proxy" {
				value = l.Address
			}
		}
	case "site":
		value = status.Site
		for _, m := range status.Members {
			if host != "" && m.Host == host {
				value = m.Site
			}
		}
	default:
		ts.Fatalf("no key %s", key)
	}
	ts.Setenv(args[0], value)
}

func fetch(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("curl", append([]string{"-sS", "--fail", "--max-time", "20"}, args...)...)
	if neg != (err != nil) {
		ts.Fatalf("curl %s: %v", strings.Join(args, " "), err)
	}
}

// serve answers every connection to a free loopback port with a text, and sets
// the variable to the port.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	ts.Setenv(args[0], strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, strings.Join(args[1:], " "))
			conn.Close()
		}
	}()
}
