package apptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/certificate"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/store/sqlite"
)

// PrivatePort is the loopback port that a Host calls its own. Its private
// folders are those called "private", and what is in them.
const PrivatePort = 8080

// A Host is maple of the group home, whose other member is oak. It is the
// [kith.Host] of one application, and safe for concurrent use.
type Host struct {
	Service kith.Service    // what the application made for Serve
	Oak     *memory.Network // what oak dials with

	app     kith.App
	network *memory.Network
	swarm   *Swarm
	post    *Post
	people  *Accounts
	trust   *certificate.Authority
	store   kith.Store
	blobs   *blob.Store
	metrics kith.Metrics

	mu       sync.Mutex
	members  []kith.Member
	awaited  []string      // protocols that the application does not listen for yet
	complete chan struct{} // closed when there is none
	events   []string
	names    []string // beside those of accounts
}

var _ kith.Host = (*Host)(nil)

// NewHost makes a host for app, with a store of its own that has app's tables.
func NewHost(t testing.TB, app kith.App) *Host {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	store.Single() // finds a View within a View
	blobs := blob.New(blob.Config{Dir: filepath.Join(t.TempDir(), "blobs"), Store: store})
	if err := blobs.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(blobs.Close(), store.Close()); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	if app.Migrations != nil {
		if err := store.Migrate(t.Context(), app.Name, app.Migrations); err != nil {
			t.Fatal(err)
		}
	}
	maple, oak := kith.ID{1}, kith.ID{2}
	hub := memory.NewHub()
	names := []string{"maple.home.kith.alt", maple.String() + "." + kith.Domain}
	trust := certificate.New(certificate.Config{
		Dir: t.TempDir(), Title: "kith on maple (test)", Names: func() []string { return names },
		Event: func(string) {}, Log: slog.New(slog.DiscardHandler),
	})
	if err := trust.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &Host{
		app: app, store: store, blobs: blobs, swarm: NewSwarm(maple), trust: trust,
		people: &Accounts{domains: append(names, "localhost"), list: []string{Ann}}, network: hub.Network(maple), Oak: hub.Network(oak),
		members: []kith.Member{{ID: maple, Host: "maple", Online: true, Admin: true, Accounts: []string{Ann}}, {ID: oak, Host: "oak", Online: true, Accounts: []string{"bob"}}},
	}
	h.post = newPost(h)
	return h
}

// Serve makes the application and runs it until stop or the end of the test. It
// returns once the application listens for all its protocols. After stop it
// may be called again, as when a node starts again.
func (h *Host) Serve(t testing.TB) (stop func()) {
	t.Helper()
	complete := make(chan struct{})
	h.mu.Lock()
	h.complete, h.awaited = complete, nil
	for _, port := range h.app.Ports {
		h.awaited = append(h.awaited, port.Protocol)
	}
	if len(h.awaited) == 0 {
		close(complete)
	}
	h.mu.Unlock()
	service, err := h.app.New(h)
	if err != nil {
		t.Fatal(err)
	}
	h.Service = service
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		if service.Serve == nil {
			<-ctx.Done()
			done <- nil
			return
		}
		done <- service.Serve(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-complete:
	case err := <-done:
		cancel()
		t.Fatalf("Serve: %v", err)
	}
	t.Cleanup(stop)
	return stop
}

// Address is where members reach a port of the host.
func (h *Host) Address(port uint16) kith.Address {
	return kith.Address{Host: h.ID().String(), Port: port}
}

// Ask makes a request to the application's API as a command does.
func (h *Host) Ask(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	w := httptest.NewRecorder()
	h.Service.API.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(body)))
	if w.Code/100 != 2 {
		return kith.ReadError(w.Result())
	}
	return json.Unmarshal(w.Body.Bytes(), out)
}

// Run runs one of the application's commands in the directory dir, with flags
// and words as people type them. It leaves it to the command line to count the
// words.
func (h *Host) Run(ctx context.Context, dir, verb string, args ...string) (stdout, stderr string, err error) {
	i := slices.IndexFunc(h.app.Commands, func(c kith.Command) bool { return c.Name == verb })
	if i < 0 {
		return "", "", fmt.Errorf("no command %s: %w", verb, kith.NotFound)
	}
	command := h.app.Commands[i]
	var out, told bytes.Buffer
	env := kith.Env{API: h.Ask, Stdin: new(bytes.Buffer), Stdout: &out, Stderr: &told, Dir: dir, Kith: []string{"kith"}}
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(&told)
	flags.BoolVar(&env.JSON, "json", false, "")
	if command.Flags != nil {
		command.Flags(flags)
	}
	var words []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return "", "", fmt.Errorf("%w: %w", err, kith.Invalid)
		}
		if args = flags.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	err = command.Run(ctx, env, words)
	return out.String(), told.String(), err
}

// Admit makes another host a member, which is awake or not.
func (h *Host) Admit(name string, online bool) kith.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := kith.ID{byte(len(h.members) + 1)}
	h.members = append(h.members, kith.Member{ID: id, Host: name, Online: online})
	return id
}

// Tell changes what is known of a member.
func (h *Host) Tell(name string, change func(*kith.Member)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.members {
		if h.members[i].Host == name {
			change(&h.members[i])
		}
	}
}

// CA returns the certificate of the host's authority, in PEM, for its clients.
func (h *Host) CA() []byte { return h.trust.Certificate().PEM }

// Events returns what the application told the owner.
func (h *Host) Events() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// The methods of kith.Host.

func (h *Host) ID() kith.ID             { return h.members[0].ID }
func (h *Host) Name() kith.Name         { return kith.Name{Host: "maple", Group: "home"} }
func (h *Host) Link(path string) string { return "http://maple--home.localhost:8080" + path }
func (h *Host) PrivateDir(dir string) bool {
	return slices.Contains(strings.Split(filepath.ToSlash(dir), "/"), "private")
}
func (h *Host) PrivatePort(port uint16) bool { return port == PrivatePort }
func (h *Host) Store() kith.Store            { return h.store }
func (h *Host) TLS() *tls.Config             { return h.trust.TLS() }
func (h *Host) Accounts() kith.Accounts      { return h.people } // an *Accounts
func (h *Host) Restores() int                { return 0 }
func (h *Host) Blobs() kith.Blobs            { return h.blobs }
func (h *Host) Swarm() kith.Swarm            { return h.swarm } // a *Swarm
func (h *Host) Post() kith.Post              { return h.post }  // a *Post
func (h *Host) Log() *slog.Logger            { return slog.New(slog.DiscardHandler) }
func (h *Host) Metrics() *kith.Metrics       { return &h.metrics }

func (h *Host) Members() []kith.Member {
	h.mu.Lock()
	defer h.mu.Unlock()
	members := slices.Clone(h.members)
	slices.SortFunc(members, func(a, b kith.Member) int { return strings.Compare(a.Host, b.Host) })
	return members
}

// Resolve knows the short names of members, their names in the group home, and IDs.
// SetNames keeps what Names returns.
func (h *Host) SetNames(_ context.Context, names []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = slices.Clone(names)
	return nil
}

// Names returns what the application last told members.
func (h *Host) Names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names
}

func (h *Host) Resolve(name string) (kith.ID, error) {
	name = strings.TrimSuffix(strings.ToLower(name), "."+kith.Domain)
	if id, err := kith.ParseID(name); err == nil {
		return id, nil
	}
	short := strings.TrimSuffix(name, ".home")
	for _, m := range h.Members() {
		if m.Host == short {
			return m.ID, nil
		}
	}
	return kith.ID{}, fmt.Errorf("no host is called %.80q: %w", name, kith.NotFound)
}

func (h *Host) Event(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, text)
}

// Dial reaches members by ID, as the network in memory knows no names.
func (h *Host) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	return h.network.Dial(ctx, address)
}

func (h *Host) ListenPort(ctx context.Context, port uint16) (net.Listener, error) {
	return h.network.Listen(ctx, kith.Address{Port: port})
}

// Listen listens on the overlay only: on a free port where the protocol has
// none there.
func (h *Host) Listen(ctx context.Context, protocol string) (net.Listener, error) {
	i := slices.IndexFunc(h.app.Ports, func(p kith.Port) bool { return p.Protocol == protocol })
	if i < 0 {
		return nil, fmt.Errorf("%s declares no port for %s: %w", h.app.Name, protocol, kith.NotFound)
	}
	listener, err := h.network.Listen(ctx, kith.Address{Port: h.app.Ports[i].Overlay})
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.awaited, protocol); i >= 0 {
		if h.awaited = slices.Delete(h.awaited, i, i+1); len(h.awaited) == 0 {
			close(h.complete)
		}
	}
	return listener, nil
}
