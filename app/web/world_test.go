package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

// A world is what surrounds the application beyond its host: who sleeps, and
// what goes wrong in the swarm.
type world struct {
	kith.Host
	swarm *testSwarm

	mu     sync.Mutex
	asleep map[string]bool
	gone   map[string]bool
}

func (w *world) Swarm() kith.Swarm { return w.swarm }

func (w *world) Members() []kith.Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	var members []kith.Member
	for _, m := range w.Host.Members() {
		m.Online = !w.asleep[m.Host]
		if !w.gone[m.Host] {
			members = append(members, m)
		}
	}
	return members
}

func (w *world) sleeps(host string, asleep bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asleep[host] = asleep
}

// testSwarm is the swarm in memory, which can refuse and stall.
type testSwarm struct {
	*apptest.Swarm
	takeErr error
	stalls  bool // readers get nothing

	mu        sync.Mutex
	published []string // folders
	taken     []string // titles
}

func (s *testSwarm) Publish(ctx context.Context, p kith.Publication) (kith.Entry, error) {
	s.mu.Lock()
	s.published = append(s.published, p.Path)
	s.mu.Unlock()
	return s.Swarm.Publish(ctx, p)
}

func (s *testSwarm) Take(ctx context.Context, t kith.Taking) (kith.Holding, error) {
	s.mu.Lock()
	s.taken = append(s.taken, t.Entry.Title)
	s.mu.Unlock()
	if s.takeErr != nil {
		return kith.Holding{}, s.takeErr
	}
	return s.Swarm.Take(ctx, t)
}

func (s *testSwarm) Open(ctx context.Context, content kith.ContentID, path string) (io.ReadSeekCloser, error) {
	r, err := s.Swarm.Open(ctx, content, path)
	if err == nil && s.stalls {
		r = stalled{r, ctx}
	}
	return r, err
}

type stalled struct {
	io.ReadSeekCloser
	ctx context.Context
}

func (s stalled) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }

// startInWorld runs the application on maple; oak sleeps and has published.
func startInWorld(t testing.TB) (*fixture, *world) {
	t.Helper()
	app, w := App(), &world{asleep: map[string]bool{"oak": true}, gone: make(map[string]bool)}
	inner := app.New
	app.New = func(host kith.Host) (kith.Service, error) {
		w.Host = host
		return inner(w)
	}
	f := &fixture{Host: apptest.NewHost(t, app)}
	w.swarm = &testSwarm{Swarm: f.Host.Swarm().(*apptest.Swarm)}
	f.stop = f.Serve(t)
	return f, w
}

var oakID = kith.ID{2}

// offer has oak publish a folder at a path of its site.
func (w *world) offer(path string, files ...string) kith.Entry {
	content := make(map[string]string)
	for i := 0; i < len(files); i += 2 {
		content[files[i]] = files[i+1]
	}
	return w.swarm.Offer(kith.Entry{Host: oakID, Title: path, Name: "site", Kind: kith.EntrySite, Folder: true, Published: time.Now().Add(-48 * time.Hour)}, content)
}

// take has a version here in whole.
func (w *world) take(t testing.TB, e kith.Entry) {
	t.Helper()
	if _, err := w.swarm.Swarm.Take(t.Context(), kith.Taking{Content: e.Content, Entry: e, Follow: true}); err != nil {
		t.Fatal(err)
	}
}

// ask asks for a path of oak's site, as the gateway does once oak does not
// answer; nil: there is no copy.
func (f *fixture) ask(method, path string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://oak--home.localhost:8080"+path, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	handler, _ := f.Service.Copies.Copy(oakID, r.URL.Path)
	if handler == nil {
		return nil
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// until waits for a condition that the application brings about by itself.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come true", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func overview(t testing.TB, f *fixture) Overview {
	t.Helper()
	var o Overview
	if err := f.Ask(t.Context(), http.MethodGet, "/sites", nil, &o); err != nil {
		t.Fatal(err)
	}
	return o
}
