package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/node"
)

// fakeNode stands in for a node: it has a directory and a control socket, and
// nothing behind them. What it does not define is never called.
type fakeNode struct {
	control.Node
	cfg    node.Config
	ready  chan struct{}
	stop   chan struct{}
	joined string
	opened map[string]string

	configured control.Settings
	fail       error // the answer to what may fail
	dial       func() (net.Conn, error)
}

var fakeTime = time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)

func newFake(cfg node.Config) *fakeNode {
	return &fakeNode{cfg: cfg, ready: make(chan struct{}), stop: make(chan struct{}), opened: make(map[string]string)}
}

func (n *fakeNode) Ready() <-chan struct{} { return n.ready }

func (n *fakeNode) Serve(ctx context.Context) error {
	if n.cfg.Ticket == "expired" {
		return fmt.Errorf("join: the ticket of yesterday has expired: %w", kith.Expired)
	}
	dir, err := config.Open(n.cfg.Data, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer dir.Close()
	ln, err := control.Listen(n.cfg.Data)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-n.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	close(n.ready)
	return control.NewServer(control.Config{Node: n, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, ln)
}

func (n *fakeNode) Status(context.Context) (control.Status, error) {
	return control.Status{
		ID: kith.ID{1}, Host: "maple", Group: "home", Name: "maple.home.kith.alt", Data: n.cfg.Data, Version: "v1",
		Started: fakeTime, Dashboard: "http://localhost:8080/", Site: "http://maple--home.localhost:8080/", Sockets: 1,
		Listeners: []control.Listener{
			{App: "gateway", Protocol: "http", Address: "127.0.0.1:8080"},
			{App: "gateway", Protocol: "proxy", Address: "127.0.0.1:1080", Error: "port 1080 is taken"},
		},
		Members: []control.Member{
			{Host: "maple", ID: kith.ID{1}, State: control.Online, Path: control.PathSelf, Admin: true},
			{Host: "oak", ID: kith.ID{2}, State: control.Online, Path: control.PathRelayed, Via: "elm", Carrier: "quic", RTT: 12.34,
				Since: time.Now().Add(-5 * time.Minute), Why: "the direct path was lost", NAT: "symmetric"},
		},
		Reach:    control.Reach{NAT: "cone", Addresses: []string{"192.168.1.20:4747"}, Outside: []string{"203.0.113.7:4747"}, PortMapping: true},
		Relaying: control.Relaying{Limits: control.RelayLimits{BytesPerSecond: 2 << 20, BytesPerDay: 10 << 30, Streams: 64}, Streams: 2, Today: 3 << 20},
	}, n.fail
}

func (n *fakeNode) Doctor(context.Context) ([]control.Finding, error) {
	list := []control.Finding{{Level: control.Good, What: "Every listener accepts."}}
	if n.cfg.Name == "ill" {
		list = append(list, control.Finding{Level: control.Problem, What: "The disk is full.", Cause: "Holidays.", Remedy: "Delete some."})
	}
	return list, n.fail
}

func (n *fakeNode) Ping(_ context.Context, host string) (control.Ping, error) {
	if host == "elm" {
		return control.Ping{}, fmt.Errorf("host elm: timeout: %w", kith.Unreachable)
	}
	return control.Ping{Host: host, RTT: 12.34, Path: control.PathRelayed, Via: "elm", Carrier: "quic"}, n.fail
}

func (n *fakeNode) Trace(_ context.Context, host string) (control.Trace, error) {
	own := control.Hop{Host: "maple", Address: "192.168.1.20:4747", Outside: []string{"203.0.113.7:4747"}, NAT: "cone"}
	tried := []control.Try{{Way: "quic 198.51.100.9:4747", Why: "timeout"}}
	if host == "elm" {
		return control.Trace{Host: host, Path: control.PathNone, Hops: []control.Hop{own}, Tried: tried, Error: "elm: timeout: no path"}, nil
	}
	return control.Trace{
		Host: host, Path: control.PathRelayed, Carrier: "quic", Since: time.Now().Add(-5 * time.Minute), Why: "the direct path was lost", Tried: tried,
		Hops: []control.Hop{own, {Host: "elm", Address: "192.0.2.1:4747", NAT: "open", RTT: 10}, {Host: host, NAT: "symmetric", RTT: 31.2}},
	}, n.fail
}

func (n *fakeNode) Diagnose(_ context.Context, host string) ([]control.Finding, error) {
	return []control.Finding{
		{Level: control.Good, What: "The name " + host + " means the computer with the key abcdef."},
		{Level: control.Problem, What: "No way leads to " + host + ".", Cause: "It is asleep.", Remedy: "'kith up --introduce dht' on both."},
	}, n.fail
}

func (n *fakeNode) Configure(_ context.Context, s control.Settings) error {
	n.configured = s
	return n.fail
}

func (n *fakeNode) Stop(context.Context) error { close(n.stop); return nil }

func (n *fakeNode) Invite(_ context.Context, r control.InviteRequest) (control.Invitation, error) {
	return control.Invitation{Ticket: "kithticket", Uses: r.Uses, Expires: fakeTime.Add(r.Expires), Role: r.Role}, n.fail
}

func (n *fakeNode) Join(_ context.Context, ticket string) error {
	n.joined = ticket
	if ticket == "expired" {
		return fmt.Errorf("join: the ticket of yesterday has expired: %w", kith.Expired)
	}
	return nil
}

func (n *fakeNode) Trust(context.Context, string) error                 { return n.fail }
func (n *fakeNode) Revoke(context.Context, string) error                { return n.fail }
func (n *fakeNode) SetAdmin(context.Context, string, bool) error        { return n.fail }
func (n *fakeNode) Leave(context.Context) error                         { return n.fail }
func (n *fakeNode) Rename(context.Context, control.RenameRequest) error { return n.fail }
func (n *fakeNode) SignInLink(context.Context, string) (string, error) {
	return "http://localhost:8080/signin", nil
}
func (n *fakeNode) Open(_ context.Context, app, to string) error {
	n.opened[app] = to
	return n.fail
}

func (n *fakeNode) Certificate(context.Context) (control.Certificate, error) {
	return control.Certificate{
		PEM: "-----BEGIN CERTIFICATE-----\n", Fingerprint: "AB:CD", Title: "kith on maple", Names: []string{"localhost", "127.0.0.0/8"}, Expires: fakeTime,
	}, n.fail
}
func (n *fakeNode) Backup(context.Context) (control.Backup, error) {
	return control.Backup{Size: 9, ReadCloser: io.NopCloser(strings.NewReader("no backup"))}, n.fail
}
func (n *fakeNode) Dial(context.Context, kith.Address) (net.Conn, error) { return n.dial() }

func (n *fakeNode) AddAccount(_ context.Context, name string) error {
	if name == "ada" {
		return fmt.Errorf("there is an account ada already: %w", kith.Exists)
	}
	return n.fail
}

func (n *fakeNode) AddAppPassword(_ context.Context, _, label string) (control.AppPassword, error) {
	return control.AppPassword{ID: "7", Label: label, Secret: "abcd-efgh", Created: fakeTime}, n.fail
}

func (n *fakeNode) Accounts(context.Context) ([]control.Account, error) {
	return []control.Account{{Name: "ada", Password: true, AppPasswords: []control.AppPassword{{ID: "7", Label: "phone"}, {ID: "8"}}}}, n.fail
}

// A prompt is a command line under test.
type prompt struct {
	env
	out, err lockedBuffer
	made     chan *fakeNode
}

// newPrompt returns a prompt on an empty data directory. A node that it starts is
// a fake one.
func newPrompt(t *testing.T) *prompt {
	t.Helper()
	t.Setenv("KITH_DATA", t.TempDir())
	p := &prompt{made: make(chan *fakeNode, 1)}
	p.env = env{
		Env: kith.Env{Stdin: strings.NewReader(""), Stdout: &p.out, Stderr: &p.err, Kith: []string{"kith"}},
		newNode: func(cfg node.Config) (runner, error) {
			n := newFake(cfg)
			select {
			case p.made <- n:
			default:
			}
			return n, nil
		},
	}
	return p
}

// run runs a command line and returns what it printed and its exit code.
func (p *prompt) run(t *testing.T, args ...string) (out, err string, code int) {
	t.Helper()
	p.out.Reset()
	p.err.Reset()
	e := p.env
	code = e.main(t.Context(), args)
	return p.out.String(), p.err.String(), code
}

// withNode starts a fake node on the prompt's data directory.
func (p *prompt) withNode(t *testing.T, args ...string) *fakeNode {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	e := p.env
	e.Stdout, e.Stderr = io.Discard, io.Discard
	go func() { done <- e.main(ctx, append([]string{"up"}, args...)) }()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("up ended with %d", code)
		}
	})
	n := <-p.made
	<-n.ready
	return n
}

// lockedBuffer is a buffer that several goroutines use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}
