package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

func TestCopy(t *testing.T) {
	f, w := startInWorld(t)
	large := strings.Repeat("0123456789", 20000)
	w.take(t, w.offer("/", "index.html", "<!doctype html><title>Oak</title>hello", "a.css", "b{}", "a.css.gz", "not what it says",
		"large.bin", large, "photos/one.jpg", "1", "photos/two words.jpg", "2", "404.html", "not on oak"))
	w.take(t, w.offer("/docs", "a.txt", "docs"))

	page := f.ask("GET", "/", "Sec-Fetch-Dest", "document")
	body := page.Body.String()
	if page.Code != http.StatusOK || !strings.HasPrefix(body, "<!doctype html><style>") || !strings.HasSuffix(body, "</style><title>Oak</title>hello") ||
		!strings.Contains(body, "Oak is asleep. This copy is from") || !strings.Contains(body, "kept by maple.") {
		t.Errorf("a page: %d\n%s", page.Code, body)
	}
	h := page.Header()
	if got := h.Get("Kith-Copy"); !strings.HasPrefix(got, `"oak"; published=@`) || !strings.HasSuffix(got, "; version=1") {
		t.Errorf("Kith-Copy: %s", got)
	}
	if got := h.Get("Age"); got != "172800" && got != "172801" {
		t.Errorf("Age: %s", got)
	}
	if modified, err := http.ParseTime(h.Get("Last-Modified")); err != nil || time.Since(modified).Round(time.Hour) != 48*time.Hour {
		t.Errorf("Last-Modified: %s", h.Get("Last-Modified"))
	}
	if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Set-Cookie") != "" || h.Get("Cache-Control") != "no-cache" {
		t.Errorf("header: %v", h)
	}

	for _, test := range []struct {
		path   string
		fields []string
		status int
		body   string
	}{
		{"/", nil, 200, "<!doctype html><title>Oak</title>hello"},                                          // a program
		{"/", []string{"Sec-Fetch-Dest", "empty"}, 200, "<!doctype html><title>Oak</title>hello"},          // a script
		{"/index.html", []string{"Accept", "*/*"}, 200, "<!doctype html><title>Oak</title>hello"},          // a program
		{"/a.css", []string{"Sec-Fetch-Dest", "style"}, 200, "b{}"},                                        // a part of a page
		{"/a.css", []string{"Accept-Encoding", "gzip"}, 200, "b{}"},                                        // not the file beside it
		{"/large.bin", []string{"Range", "bytes=100005-100009"}, 206, "56789"},                             // a range
		{"/large.bin", []string{"Range", "bytes=-3"}, 206, "789"},                                          //
		{"/large.bin", []string{"Range", "bytes=900000-"}, 416, "invalid range: failed to overlap\n"},      //
		{"/docs/a.txt", nil, 200, "docs"},                                                                  // the longest path
		{"/docsx", nil, 404, "not on oak"},                                                                 //
		{"/docs", nil, 301, ""},                                                                            //
		{"/photos", nil, 301, ""},                                                                          //
		{"/photos/two%20words.jpg", nil, 200, "2"},                                                         //
		{"/wiki/", nil, 404, "not on oak"},                                                                 // an exposed program
		{"/../../etc/passwd", nil, 404, ""},                                                                //
		{"/photos/%2e%2e/a.css", nil, 404, ""},                                                             //
		{"/photos/..%2fa.css", nil, 404, ""},                                                               //
		{"/a.css/", nil, 404, "not on oak"},                                                                //
		{"/large.bin", []string{"If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)}, 304, ""},   //
		{"/a.css", []string{"If-None-Match", f.ask("GET", "/a.css").Header().Get("Etag")}, 304, ""},        //
		{"/", []string{"If-None-Match", h.Get("Etag")}, 200, "<!doctype html><title>Oak</title>hello"},     // unmarked: another
		{"/", []string{"If-None-Match", h.Get("Etag"), "Sec-Fetch-Dest", "document"}, 304, ""},             //
		{"/", []string{"If-None-Match", f.ask("GET", "/").Header().Get("Etag"), "Accept", "*/*"}, 304, ""}, //
	} {
		got := f.ask("GET", test.path, test.fields...)
		if got == nil || got.Code != test.status || got.Header().Get("Kith-Copy") == "" || test.body != "" && got.Body.String() != test.body {
			t.Errorf("%s %q: %d %.100s, want %d %q", test.path, test.fields, got.Code, got.Body, test.status, test.body)
		}
	}
	if got := f.ask("HEAD", "/large.bin"); got.Code != 200 || got.Body.Len() != 0 || got.Header().Get("Content-Length") != "200000" {
		t.Errorf("HEAD: %d %v", got.Code, got.Header())
	}
	if got := f.ask("GET", "/large.bin", "Range", "bytes=0-1,5-6"); got.Code != 206 || !strings.Contains(got.Body.String(), "\r\n\r\n56\r\n") {
		t.Errorf("two ranges: %d %s", got.Code, got.Body)
	}
	listing := f.ask("GET", "/photos/", "Sec-Fetch-Dest", "document").Body.String()
	if !strings.Contains(listing, `href="./two%20words.jpg"`) || !strings.Contains(listing, "Oak is asleep. This copy is from") || strings.Contains(listing, "maple ·") {
		t.Errorf("a listing:\n%s", listing)
	}
	if got := f.ask("GET", "/docs/nothing").Body.String(); !strings.Contains(got, "Not in this copy") {
		t.Errorf("what is not there:\n%s", got)
	}
	w.sleeps("oak", false)
	if got := f.ask("GET", "/", "Sec-Fetch-Dest", "document").Body.String(); !strings.Contains(got, "Oak cannot be reached.") {
		t.Errorf("a host that seems to be awake:\n%s", got)
	}
}

// TestCopyOfNothing has no copies where nothing was published, or by others
// than members.
func TestCopyOfNothing(t *testing.T) {
	f, w := startInWorld(t)
	if f.ask("GET", "/") != nil {
		t.Error("a copy of what was never published")
	}
	w.take(t, w.offer("/docs", "a.txt", "a"))
	if f.ask("GET", "/") != nil || f.ask("GET", "/docsx") != nil {
		t.Error("a copy beside the path that was published")
	}
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "/files", Name: "x"}, map[string]string{"a": "a"})                           // not a site
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "/one", Name: "x", Kind: kith.EntrySite}, map[string]string{"": "a"})        // not a folder
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "/a/../b", Name: "x", Kind: kith.EntrySite}, map[string]string{"a.txt": ""}) // not a path
	for _, path := range []string{"/files/a", "/one", "/b/a.txt", "/a/../b/a.txt"} {
		if f.ask("GET", path) != nil {
			t.Errorf("a copy at %s", path)
		}
	}
	if handler, _ := f.Service.Copies.Copy(f.ID(), "/"); handler != nil {
		t.Error("a copy of this host's own site")
	}
	if handler, _ := f.Service.Copies.Copy(kith.ID{9}, "/"); handler != nil {
		t.Error("a copy of a stranger's site")
	}
	w.mu.Lock()
	w.gone["oak"] = true
	w.mu.Unlock()
	if f.ask("GET", "/docs/a.txt") != nil {
		t.Error("a copy of the site of somebody who left")
	}
}

// TestPrivateInCopy has names that a site never shows not shown by a copy
// either, whatever a host offers.
func TestPrivateInCopy(t *testing.T) {
	f, w := startInWorld(t)
	w.take(t, w.offer("/", ".git/config", "secret", "a/.env", "secret", "\u200c.git/config", "secret", "../x", "secret", "/etc/y", "secret",
		"b//c", "secret", "b/./c", "secret", "a/b.txt", "fine"))
	for _, path := range []string{"/.git/config", "/a/.env", "/%E2%80%8C.git/config", "/../x", "/x", "/etc/y", "/b//c", "/b/c", "/b/./c", "//etc/y"} {
		if got := f.ask("GET", path); got != nil && strings.Contains(got.Body.String(), "secret") {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	for _, folder := range []string{"/", "/a/"} {
		if body := f.ask("GET", folder).Body.String(); strings.Contains(body, ".git") || strings.Contains(body, ".env") || !strings.Contains(body, `href="./`) {
			t.Errorf("%s:\n%s", folder, body)
		}
	}
}

// TestNewest has the newest version win that is complete here.
func TestNewest(t *testing.T) {
	f, w := startInWorld(t)
	first := w.offer("/", "a.txt", "one")
	w.take(t, first)
	second := w.offer("/", "a.txt", "two", "b.txt", "new")
	w.swarm.Hold() // the second does not arrive yet
	for range 2 {
		if got := f.ask("GET", "/a.txt"); got.Body.String() != "one" || !strings.HasSuffix(got.Header().Get("Kith-Copy"), "; version=1") {
			t.Errorf("before: %s %v", got.Body, got.Header())
		}
		w.take(t, second)
		w.swarm.Arrive(second.Content, 2)
	}
	w.swarm.Arrive(second.Content, 100)
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "two" || !strings.HasSuffix(got.Header().Get("Kith-Copy"), "; version=2") {
		t.Errorf("after: %s %v", got.Body, got.Header())
	}
	w.take(t, first) // an old copy comes back
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "two" {
		t.Errorf("an old version took the place of a newer one: %s", got.Body)
	}
}

// TestOnDemand reads copies that others have.
func TestOnDemand(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "from elm", "index.html", "<p>x")
	if got := f.ask("GET", "/a.txt"); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || len(w.swarm.taken) != 0 {
		t.Errorf("nobody is awake: %d %q", got.Code, w.swarm.taken)
	}
	w.sleeps("oak", false) // stands for any other member that is awake
	if got := f.ask("GET", "/a.txt"); got.Code != http.StatusOK || got.Body.String() != "from elm" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if len(w.swarm.taken) != 1 {
		t.Errorf("taken: %q", w.swarm.taken)
	}
	f.ask("GET", "/a.txt")
	if len(w.swarm.taken) != 1 {
		t.Errorf("taken again: %q", w.swarm.taken)
	}

	w.offer("/docs", "a.txt", "x")
	w.swarm.takeErr = fmt.Errorf("too large: %w", kith.Quota)
	if got := f.ask("GET", "/docs/a.txt"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("refused: %d", got.Code)
	}
}

// TestStall has reading given up when nothing comes.
func TestStall(t *testing.T) {
	f, w := startInWorld(t)
	entry := w.offer("/", "a.txt", "x")
	w.take(t, entry)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		stalling := &testSwarm{Swarm: w.swarm.Swarm, stalls: true}
		r, err := openPatiently(t.Context(), stalling, entry.Content, "a.txt")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) || time.Since(began) != readPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		patient, err := openPatiently(t.Context(), w.swarm, entry.Content, "a.txt")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a reader that takes its time
		if n, err := patient.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		patient.Close()
	})
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "x" {
		t.Errorf("afterwards: %s", got.Body)
	}
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

func TestVisit(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "top")
	w.offer("/docs", "a.txt", "docs")
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "photos", Name: "photos"}, map[string]string{"a": "not a site"})
	f.Service.Copies.Visited(f.ID())
	f.Service.Copies.Visited(oakID)
	until(t, "both sites are kept", func() bool { return len(overview(t, f).Kept) == 2 })
	if got := f.ask("GET", "/docs/a.txt"); got.Body.String() != "docs" {
		t.Errorf("the copy: %s", got.Body)
	}
	if len(w.swarm.Holdings()) != 2 {
		t.Errorf("taken: %q", w.swarm.taken)
	}
	out := f.must(t, t.TempDir(), "sites")
	if !strings.Contains(out, "oak/docs  4 bytes  published 2 days ago") {
		t.Errorf("sites:\n%s", out)
	}
	body := f.page(t, "/", http.StatusOK)
	if !strings.Contains(body, `href="http://oak--home.localhost:8080/docs/"><b>oak</b>/docs</a>`) || !strings.Contains(body, "Delete the copy") {
		t.Errorf("the page:\n%s", body)
	}

	f.must(t, t.TempDir(), "sites", "--forget", "oak")
	if o := overview(t, f); len(o.Kept) != 0 || len(w.swarm.Holdings()) != 0 {
		t.Errorf("after forgetting: %+v", o.Kept)
	}
	if _, _, err := f.Run(t.Context(), t.TempDir(), "sites", "--forget", "oak"); !errors.Is(err, kith.NotFound) {
		t.Errorf("forgotten twice: %v", err)
	}
}

// TestQuota says why a site that was visited is not kept.
func TestQuota(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "x")
	w.swarm.takeErr = fmt.Errorf("site has 9 bytes, more than the copies of a member may have here: %w", kith.Quota)
	f.Service.Copies.Visited(oakID)
	until(t, "the refusal is told", func() bool {
		o := overview(t, f)
		return len(o.Kept) == 1 && strings.HasPrefix(o.Kept[0].Problem, "Site has 9 bytes, more than")
	})
	if body := f.page(t, "/", http.StatusOK); !strings.Contains(body, "Site has 9 bytes") {
		t.Errorf("the page:\n%s", body)
	}
}

func TestKeepNothing(t *testing.T) {
	f, w := startInWorld(t)
	w.offer("/", "a.txt", "x")
	f.Service.Copies.Visited(oakID)
	until(t, "the site is kept", func() bool { return len(overview(t, f).Kept) == 1 })
	f.must(t, t.TempDir(), "sites", "--keep-visited=false")
	if o := overview(t, f); o.KeepVisited || len(o.Kept) != 0 {
		t.Errorf("kept: %+v", o)
	}
	f.Service.Copies.Visited(oakID)
	f.stop()
	f.stop = f.Serve(t)
	f.Service.Copies.Visited(oakID)
	if o := overview(t, f); o.KeepVisited || len(o.Kept) != 0 {
		t.Errorf("after a restart: %+v", o)
	}
	// It is read from others all the same, and kept for a while only.
	w.sleeps("oak", false)
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "x" || len(w.swarm.Holdings()) != 1 {
		t.Errorf("on demand: %d %s", got.Code, got.Body)
	}
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "other", Name: "x"}, map[string]string{"a": "a"}) // has it look
	if got := f.ask("GET", "/a.txt"); got.Body.String() != "x" || len(w.swarm.Holdings()) != 1 {
		t.Errorf("it is swept away while it is read")
	}
	form := f.visit(http.MethodPost, "/keep", map[string][]string{"keep": {"yes"}})
	if form.Code != http.StatusSeeOther || !overview(t, f).KeepVisited {
		t.Errorf("the form: %d", form.Code)
	}
}

// TestSweep has copies go with what they are of.
func TestSweep(t *testing.T) {
	f, w := startInWorld(t)
	c := f.Service.Copies.(*copies)
	entry := w.offer("/", "a.txt", "x")
	w.take(t, entry)
	c.sweep(t.Context())
	if len(w.swarm.Holdings()) != 1 {
		t.Fatal("a copy of what is published is swept away")
	}
	w.swarm.Offer(kith.Entry{Host: oakID, Title: "/", Name: "x", Withdrawn: true}, map[string]string{"b": "b"})
	c.sweep(t.Context())
	if len(w.swarm.Holdings()) != 0 || f.ask("GET", "/a.txt") != nil {
		t.Error("a copy of what was withdrawn stays")
	}
	w.take(t, w.offer("/docs", "a.txt", "x"))
	w.mu.Lock()
	w.gone["oak"] = true
	w.mu.Unlock()
	c.sweep(t.Context())
	if len(w.swarm.Holdings()) != 0 {
		t.Error("a copy of the site of somebody who left stays")
	}
}

// TestShares has the library say what is published.
func TestShares(t *testing.T) {
	f, w := startInWorld(t)
	library := func() string {
		var titles []string
		for _, e := range w.swarm.Library() {
			if e.Host == f.ID() && e.Kind == kith.EntrySite {
				titles = append(titles, e.Title)
			}
		}
		return strings.Join(titles, " ")
	}
	listed := func(want string) {
		t.Helper()
		until(t, "the library has "+want, func() bool { return library() == want })
	}
	parent := folder(t, "site/index.html", "hello", "docs/a.txt", "a", "other/b.txt", "b")
	f.must(t, parent, "publish", "site")
	f.must(t, parent, "publish", "docs", "--at", "/docs")
	f.must(t, parent, "publish", "other", "--at", "/quiet", "--no-copies")
	f.must(t, parent, "expose", "3000", "--as", "wiki")
	listed("/ /docs")
	until(t, "the command tells", func() bool {
		out := f.must(t, parent, "sites")
		return strings.Contains(out, "/quiet/  "+filepath.Join(parent, "other")+"  served; members keep no copies\n") && strings.Count(out, "copies") == 1
	})

	f.must(t, parent, "publish", "other") // another folder at /
	until(t, "the other folder is shared", func() bool {
		for _, e := range w.swarm.Library() {
			if e.Title == "/" && e.Name == "other" {
				return true
			}
		}
		return false
	})
	f.must(t, parent, "publish", "docs", "--at", "/docs", "--no-copies")
	listed("/")
	f.must(t, parent, "publish", "docs", "--at", "/docs")
	listed("/ /docs")
	f.must(t, parent, "unpublish", "/")
	listed("/docs")

	// What happened while the node was off is made good, and nothing is read
	// again for nothing.
	f.stop()
	if err := w.swarm.Withdraw(t.Context(), "/docs"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.swarm.Publish(t.Context(), kith.Publication{Path: filepath.Join(parent, "site"), Title: "/gone", Kind: kith.EntrySite}); err != nil {
		t.Fatal(err)
	}
	f.stop = f.Serve(t)
	listed("/docs")
	f.stop()
	before := len(w.swarm.published)
	f.stop = f.Serve(t)
	f.must(t, parent, "publish", "site")
	listed("/ /docs")
	if n := len(w.swarm.published) - before; n != 1 {
		t.Errorf("%d folders were read, want 1: %q", n, w.swarm.published[before:])
	}

	// Who publishes again wants it read again.
	if err := os.WriteFile(filepath.Join(parent, "docs", "b.txt"), []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.must(t, parent, "publish", "docs", "--at", "/docs")
	until(t, "the newer version is listed", func() bool {
		for _, e := range w.swarm.Library() {
			if e.Title == "/docs" && e.Files == 2 {
				return true
			}
		}
		return false
	})

	// A folder that is away stays in the library: copies are what is left.
	if err := os.RemoveAll(filepath.Join(parent, "docs")); err != nil {
		t.Fatal(err)
	}
	f.Service.Copies.Visited(oakID)
	f.must(t, parent, "publish", "other", "--at", "/more")
	listed("/ /docs /more")
}

func TestTooLarge(t *testing.T) {
	f, w := startInWorld(t)
	dir := folder(t, "a", "x", ".hidden", "")
	for _, name := range []string{".hidden", "a"} {
		if err := os.Truncate(filepath.Join(dir, name), maxShared+1); err != nil { // sparse
			t.Skip("no sparse files: ", err)
		}
		err := measure(dir)
		if name == ".hidden" && err != nil || name == "a" && !errors.Is(err, kith.Quota) {
			t.Errorf("%s is large: %v", name, err)
		}
	}
	f.must(t, dir, "publish", ".")
	until(t, "the limit is told", func() bool {
		return strings.Contains(f.must(t, dir, "sites"), "members can keep no copies: The folder is larger than the 1.0 GiB")
	})
	if len(w.swarm.published) != 0 {
		t.Errorf("published: %q", w.swarm.published)
	}
	if body := f.page(t, "/", http.StatusOK); !strings.Contains(body, "Members keep no copies. The folder is larger") {
		t.Errorf("the page:\n%s", body)
	}
}
