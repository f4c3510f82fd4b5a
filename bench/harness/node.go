package harness

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith/cli"
	"kith.alt/kith/control"
)

const (
	nodeRole = "kith"
	patience = 30 * time.Second // for anything that a node is to do
)

// runNode does what the program kith does.
func runNode(ctx context.Context) int {
	return cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// A Node is a node that runs in a process of its own.
type Node struct {
	*control.Client // speaks to it

	Name string
	Data string        // its data directory
	PID  int           // of its process
	Took time.Duration // from starting the process to the line "ready"

	bench *Bench
	cmd   *exec.Cmd
	done  chan error
}

// Kith is the command "kith ARG..." of this tree, on a data directory.
func (b *Bench) Kith(ctx context.Context, data string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.kith, append([]string{"--data", data}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	return cmd
}

// Profile has the command of a node write profiles where the benchmark wants
// any, and returns the file that they go to, without its ending; else "".
func (b *Bench) Profile(cmd *exec.Cmd, name string) (path string, err error) {
	if b.profiles == "" {
		return "", nil
	}
	if cmd.Path, err = os.Executable(); err != nil {
		return "", err
	}
	path = filepath.Join(b.profiles, name)
	cmd.Env = append(os.Environ(), roleVariable+"="+nodeRole, profileVariable+"="+path)
	return path, nil
}

// Start starts a node and returns at its line "ready". Its data directory is
// of that name; where there is none yet, the node founds a group, or joins one
// when it is given the verb and the ticket.
func (b *Bench) Start(ctx context.Context, name string, verb ...string) (*Node, error) {
	n := &Node{Name: name, Data: filepath.Join(b.Dir, name), bench: b, done: make(chan error, 1)}
	args := append(verb, "--overlay-host", "127.0.0.1")
	if _, err := os.Stat(n.Data); err != nil {
		base, err := freePorts()
		if err != nil {
			return nil, err
		}
		args = append(args, "--name", name, "--port-base", base)
	}
	n.cmd = b.Kith(ctx, n.Data, args...)
	if _, err := b.Profile(n.cmd, name); err != nil {
		return nil, err
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	ready := false
	for !ready && lines.Scan() {
		ready = lines.Text() == "ready"
	}
	n.Took, n.PID = time.Since(began), n.cmd.Process.Pid
	go func() {
		io.Copy(io.Discard, out)
		n.done <- n.cmd.Wait()
	}()
	if !ready {
		return nil, fmt.Errorf("%s ended before it was ready: %v", name, <-n.done)
	}
	n.Client = control.NewClient(n.Data)
	b.nodes = append(b.nodes, n)
	return n, nil
}

// Stop stops the node and waits until its process has ended. Stopping twice
// does no harm.
func (n *Node) Stop() error {
	n.Client.Close()
	n.cmd.Process.Signal(os.Interrupt) // fails when it has ended
	err := <-n.done
	n.done <- err
	return err
}

// Run runs "kith ARG..." on the node.
func (n *Node) Run(ctx context.Context, args ...string) error {
	if out, err := n.bench.Kith(ctx, n.Data, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("kith %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Listener returns where the node's listener for a protocol is.
func (n *Node) Listener(ctx context.Context, protocol string) (string, error) {
	status, err := n.Status(ctx)
	if err != nil {
		return "", err
	}
	for _, l := range status.Listeners {
		if l.Protocol == protocol && l.Error == "" {
			return l.Address, nil
		}
	}
	return "", fmt.Errorf("%s does not listen for %s", n.Name, protocol)
}

// Group starts so many nodes, members of one group: n1, n2 and so on, each
// invited by the one before, because a node lets few join at once. It returns
// when all of them are connected with all others.
func (b *Bench) Group(ctx context.Context, count int) ([]*Node, error) {
	var nodes []*Node
	for i := range count {
		var verb []string
		if i > 0 {
			invitation, err := nodes[i-1].Invite(ctx, control.InviteRequest{})
			if err != nil {
				return nil, err
			}
			verb = []string{"join", invitation.Ticket}
		}
		n, err := b.Start(ctx, fmt.Sprintf("n%d", i+1), verb...)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := n.meet(ctx, count); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// meet waits until the node sees so many members online, itself included.
func (n *Node) meet(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Duration(count)*time.Second)
	defer cancel()
	for {
		status, err := n.Status(ctx)
		if err != nil {
			return fmt.Errorf("status of %s: %w", n.Name, err)
		}
		online := 0
		for _, m := range status.Members {
			if m.State == control.Online {
				online++
			}
		}
		if online == count {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s sees %d of %d members: %w", n.Name, online, count, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// freePorts finds a base for a node's loopback ports.
func freePorts() (string, error) {
	for range 100 {
		base := 20000 + 40*rand.IntN(280) // below the ports that systems hand out
		free := true
		for port := base; port < base+2; port++ {
			ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				free = false
				break
			}
			ln.Close()
		}
		if free {
			return strconv.Itoa(base), nil
		}
	}
	return "", fmt.Errorf("no free ports on loopback")
}
