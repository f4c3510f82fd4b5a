package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"kith.alt/kith"
)

// fakeNode answers with what the test gave it, and notes what it was asked.
type fakeNode struct {
	kith.Network
	kith.PacketNetwork
	asked string // the last call with its arguments
	err   error  // the answer of every call, when set

	backup io.Reader
}

var (
	fakeTime   = time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	fakeStatus = Status{
		ID: kith.ID{1}, Host: "maple", Group: "home", Name: "maple.home.kith.alt", Sockets: 3,
		Listeners: []Listener{{App: "web", Protocol: "http", Address: "127.0.0.1:8080"}},
		Members:   []Member{{Host: "oak", ID: kith.ID{2}, State: Online, Path: PathLAN, Carrier: "tls", RTT: 0.25, LastSeen: fakeTime}},
		Started:   fakeTime,
	}
	fakeInvitation  = Invitation{Ticket: "t1", Uses: 2, Expires: fakeTime, Role: "member"}
	fakeCertificate = Certificate{PEM: "p", Fingerprint: "AB:CD", Title: "t", Names: []string{"localhost"}, Expires: fakeTime}
	fakePassword    = AppPassword{ID: "7", Label: "mail", Secret: "s", Created: fakeTime}
)

func (n *fakeNode) note(call string, args ...any) error {
	n.asked = call + fmt.Sprintf("%v", args)
	return n.err
}

func (n *fakeNode) Status(context.Context) (Status, error) { return fakeStatus, n.note("Status") }
func (n *fakeNode) Doctor(context.Context) ([]Finding, error) {
	return []Finding{{Level: Problem, What: "w", Cause: "c", Remedy: "r"}}, n.note("Doctor")
}
func (n *fakeNode) Events(context.Context) ([]Event, error) {
	return []Event{{Time: fakeTime, Text: "oak woke"}}, n.note("Events")
}
func (n *fakeNode) Sockets(context.Context) ([]Socket, error) {
	return []Socket{{Peer: "oak", Port: 80, By: "web", Opened: fakeTime, Sent: 1 << 60}}, n.note("Sockets")
}
func (n *fakeNode) Ping(_ context.Context, host string) (Ping, error) {
	return Ping{Host: host, RTT: 1.5, Path: PathDirect, Carrier: "quic"}, n.note("Ping", host)
}
func (n *fakeNode) Trace(_ context.Context, host string) (Trace, error) {
	return Trace{Host: host, Hops: []Hop{{Host: "maple"}}, Tried: []Try{{Way: "w", Why: "y"}}}, n.note("Trace", host)
}
func (n *fakeNode) Diagnose(_ context.Context, host string) ([]Finding, error) {
	return []Finding{{Level: Good, What: "w"}}, n.note("Diagnose", host)
}
func (n *fakeNode) Configure(_ context.Context, s Settings) error {
	return n.note("Configure", *s.Public, *s.Introduce, s.PortMapping, *s.Relay)
}
func (n *fakeNode) Stop(context.Context) error { return n.note("Stop") }
func (n *fakeNode) Invite(_ context.Context, r InviteRequest) (Invitation, error) {
	return fakeInvitation, n.note("Invite", r)
}
func (n *fakeNode) Join(_ context.Context, ticket string) error { return n.note("Join", ticket) }
func (n *fakeNode) Trust(_ context.Context, host string) error  { return n.note("Trust", host) }

func (n *fakeNode) Revoke(_ context.Context, host string) error { return n.note("Revoke", host) }
func (n *fakeNode) SetAdmin(_ context.Context, host string, admin bool) error {
	return n.note("SetAdmin", host, admin)
}
func (n *fakeNode) Leave(context.Context) error                     { return n.note("Leave") }
func (n *fakeNode) Rename(_ context.Context, r RenameRequest) error { return n.note("Rename", r) }
func (n *fakeNode) Accounts(context.Context) ([]Account, error) {
	return []Account{{Name: "ada", Password: true, AppPasswords: []AppPassword{fakePassword}}}, n.note("Accounts")
}
func (n *fakeNode) AddAccount(_ context.Context, name string) error {
	return n.note("AddAccount", name)
}
func (n *fakeNode) AddAppPassword(_ context.Context, account, label string) (AppPassword, error) {
	return fakePassword, n.note("AddAppPassword", account, label)
}
func (n *fakeNode) RemoveAppPassword(_ context.Context, account, id string) error {
	return n.note("RemoveAppPassword", account, id)
}
func (n *fakeNode) SetPassword(_ context.Context, account, password string) error {
	return n.note("SetPassword", account, password)
}
func (n *fakeNode) SignInLink(_ context.Context, account string) (string, error) {
	return "http://localhost:8080/sign-in#x", n.note("SignInLink", account)
}

func (n *fakeNode) Open(_ context.Context, app, to string) error { return n.note("Open", app, to) }

func (n *fakeNode) Certificate(context.Context) (Certificate, error) {
	return fakeCertificate, n.note("Certificate")
}

func (n *fakeNode) Backup(context.Context) (Backup, error) {
	return Backup{Size: 6, ReadCloser: io.NopCloser(n.backup)}, n.note("Backup")
}

// serve runs a server of node on a control socket and returns its client.
func serve(t testing.TB, node Node, apis map[string]http.Handler) *Client {
	t.Helper()
	dir := t.TempDir()
	ln, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, ln, node, apis)
	c := NewClient(dir)
	t.Cleanup(func() { c.Close() })
	return c
}

func serveOn(t testing.TB, ln net.Listener, node Node, apis map[string]http.Handler) *kith.Metrics {
	t.Helper()
	metrics := new(kith.Metrics)
	s := NewServer(Config{Node: node, APIs: apis, Metrics: metrics, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return metrics
}
