package web

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/store/sqlite"
)

// fakeHost is a host of a group of two, maple and oak, in memory.
type fakeHost struct {
	network *memory.Network
	id, oak kith.ID
	store   kith.Store
	metrics kith.Metrics
	log     *slog.Logger

	listening chan struct{} // gets a value when the site is served

	mu     sync.Mutex
	name   kith.Name
	events []string
}

func (h *fakeHost) ID() kith.ID { return h.id }
func (h *fakeHost) Name() kith.Name {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.name
}
func (h *fakeHost) Dial(ctx context.Context, a kith.Address) (net.Conn, error) {
	return h.network.Dial(ctx, a)
}
func (h *fakeHost) Listen(ctx context.Context, protocol string) (net.Listener, error) {
	if protocol != "http" {
		return nil, fmt.Errorf("protocol %s: %w", protocol, kith.NotFound)
	}
	listener, err := h.network.Listen(ctx, kith.Address{Port: 80})
	if err == nil {
		h.listening <- struct{}{}
	}
	return listener, err
}
func (h *fakeHost) ListenPort(ctx context.Context, port uint16) (net.Listener, error) {
	return h.network.Listen(ctx, kith.Address{Port: port})
}
func (h *fakeHost) Members() []kith.Member {
	return []kith.Member{{ID: h.id, Host: "maple", Online: true}, {ID: h.oak, Host: "oak", Online: true}}
}
func (h *fakeHost) Link(path string) string      { return "http://maple--home.localhost:8080" + path }
func (h *fakeHost) PrivateDir(dir string) bool   { return filepath.Base(dir) == "private" }
func (h *fakeHost) PrivatePort(port uint16) bool { return port == 8080 }
func (h *fakeHost) Store() kith.Store            { return h.store }
func (h *fakeHost) Log() *slog.Logger            { return h.log }
func (h *fakeHost) Metrics() *kith.Metrics       { return &h.metrics }
func (h *fakeHost) Event(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, text)
}

var discard = slog.New(slog.DiscardHandler)

// A fixture is the web application, running on maple, as oak and the owner of
// maple see it.
type fixture struct {
	host    *fakeHost
	oak     *memory.Network
	service kith.Service
	client  *http.Client // of oak, to any address: it reaches maple
	stop    func()
}

// start runs the application on a store of its own.
func start(t testing.TB) *fixture {
	t.Helper()
	return startOn(t, filepath.Join(t.TempDir(), "kith.db"))
}

// startOn runs the application on the store at path, until stop or the end of
// the test.
func startOn(t testing.TB, path string) *fixture {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	app := App()
	if err := store.Migrate(t.Context(), app.Name, app.Migrations); err != nil {
		t.Fatal(err)
	}
	maple, oak := kith.ID{1}, kith.ID{2}
	hub := memory.NewHub()
	f := &fixture{oak: hub.Network(oak), host: &fakeHost{
		network: hub.Network(maple), id: maple, oak: oak, store: store,
		log: discard, name: kith.Name{Host: "maple", Group: "home"},
		listening: make(chan struct{}, 1),
	}}
	if f.service, err = app.New(f.host); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.service.Serve(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	t.Cleanup(f.stop)
	select {
	case <-f.host.listening:
	case err := <-done:
		t.Fatalf("Serve: %v", err)
	}
	f.client = &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, 80) }},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	t.Cleanup(f.client.CloseIdleConnections)
	return f
}

// dial is what oak does to reach a port of maple.
func (f *fixture) dial(ctx context.Context, port uint16) (net.Conn, error) {
	return f.oak.Dial(ctx, kith.Address{Host: f.host.id.String(), Port: port})
}

// get asks for a path of the site, from oak.
func (f *fixture) get(t testing.TB, path string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://maple.home.kith.alt"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := f.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// run runs a command as the command line does, in directory dir.
func (f *fixture) run(dir, verb string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	env := kith.Env{API: f.api, Stdout: &out, Stderr: &errs, Dir: dir, Kith: []string{"kith"}}
	for _, c := range App().Commands {
		if c.Name == verb {
			set := flag.NewFlagSet(verb, flag.ContinueOnError)
			set.BoolVar(&env.JSON, "json", false, "")
			if c.Flags != nil {
				c.Flags(set)
			}
			var words []string
			for len(args) > 0 {
				if err := set.Parse(args); err != nil {
					return "", "", err
				}
				if args = set.Args(); len(args) > 0 {
					words, args = append(words, args[0]), args[1:]
				}
			}
			err := c.Run(context.Background(), env, words)
			return out.String(), errs.String(), err
		}
	}
	return "", "", fmt.Errorf("no command %s", verb)
}

// must runs a command that has to succeed.
func (f *fixture) must(t testing.TB, dir, verb string, args ...string) string {
	t.Helper()
	out, _, err := f.run(dir, verb, args...)
	if err != nil {
		t.Fatalf("kith %s %q: %v", verb, args, err)
	}
	return out
}

func (f *fixture) api(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	w := httptest.NewRecorder()
	f.service.API.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		return kith.ReadError(w.Result())
	}
	return json.Unmarshal(w.Body.Bytes(), out)
}
