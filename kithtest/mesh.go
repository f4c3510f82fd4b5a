package kithtest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/all"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/node"
)

// patience is how long a condition may take in real time on a busy machine.
const patience = 30 * time.Second

// A Mesh is a group of running nodes.
type Mesh struct {
	t     testing.TB
	Nodes []*Node
}

// A Node is a running node of a test. Its methods are those of control.Node.
type Node struct {
	*node.Node
	Config node.Config
	stop   context.CancelFunc
	done   chan error
}

// New starts a group of nodes with these names: the first founds it, the others
// join by its tickets. It returns when all are members of one another. They
// stop with the test.
func New(t testing.TB, names ...string) *Mesh {
	t.Helper()
	m := &Mesh{t: t}
	for i, name := range names {
		ticket := ""
		if i > 0 {
			ticket = m.Invite(0)
		}
		m.Add(name, ticket)
	}
	m.Met()
	return m
}

// Invite returns a ticket of node i for one host.
func (m *Mesh) Invite(i int) string {
	m.t.Helper()
	invitation, err := m.Nodes[i].Invite(m.t.Context(), control.InviteRequest{})
	if err != nil {
		m.t.Fatalf("invite: %v", err)
	}
	return invitation.Ticket
}

// Add starts one more node: it joins by the ticket, or founds a group of its
// own where there is none.
func (m *Mesh) Add(name, ticket string) *Node {
	m.t.Helper()
	n := &Node{Config: node.Config{
		Data:        filepath.Join(m.t.TempDir(), name),
		Name:        name,
		Group:       "home",
		Ticket:      ticket,
		PortBase:    config.AnyPort,
		OverlayHost: "127.0.0.1",
		Apps:        all.Apps(),
		Log:         slog.New(slog.NewTextHandler(testWriter{m.t, name}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}}
	if ticket != "" {
		n.Config.Group = ""
	}
	m.Nodes = append(m.Nodes, n)
	m.Start(n)
	m.t.Cleanup(n.Stop)
	return n
}

// Start starts a stopped node again on its data directory.
func (m *Mesh) Start(n *Node) {
	m.t.Helper()
	if err := n.start(); err != nil {
		m.t.Fatalf("start %s: %v", n.Config.Name, err)
	}
	n.Config.Ticket = ""
}

func (n *Node) start() (err error) {
	if n.Node, err = node.New(n.Config); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.done = stop, make(chan error, 1)
	go func() { n.done <- n.Serve(ctx) }()
	select {
	case <-n.Ready():
		return nil
	case err := <-n.done:
		n.done <- err
		return err
	case <-time.After(patience):
		stop()
		return fmt.Errorf("not ready after %v: %w", patience, kith.Temporary)
	}
}

// Stop stops the node and waits until it has. Stopping twice does no harm.
func (n *Node) Stop() {
	n.stop()
	err := <-n.done
	n.done <- err
}

// Met waits until every running node sees every other online.
func (m *Mesh) Met() {
	m.t.Helper()
	for _, n := range m.Nodes {
		m.Until(n, fmt.Sprintf("%d members online", len(m.Nodes)), func(s control.Status) bool {
			online := 0
			for _, member := range s.Members {
				if member.State == control.Online {
					online++
				}
			}
			return online == len(m.Nodes)
		})
	}
}

// Until waits until the node's status is as the condition wants it.
func (m *Mesh) Until(n *Node, what string, condition func(control.Status) bool) control.Status {
	m.t.Helper()
	var last control.Status
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		status, err := n.Status(m.t.Context())
		if err != nil {
			m.t.Fatalf("status of %s: %v", n.Config.Name, err)
		}
		if last = status; condition(status) {
			return status
		}
		<-tick.C
	}
	m.t.Fatalf("%s: not %q after %v; last status: %+v", n.Config.Name, what, patience, last)
	return last
}

type testWriter struct {
	t    testing.TB
	name string
}

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s: %s", w.name, p[:max(0, len(p)-1)])
	return len(p), nil
}
