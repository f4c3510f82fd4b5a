package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

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
		"b//c", "secret", "b/./c", "secret", "a/.well-known/x", "secret", "a/b.txt", "fine", ".well-known/x", "fine"))
	if got := f.ask("GET", "/.well-known/x"); got.Body.String() != "fine" {
		t.Errorf("what a site shows of itself: %d %s", got.Code, got.Body)
	}
	for _, path := range []string{"/.git/config", "/a/.env", "/%E2%80%8C.git/config", "/a/.well-known/x", "/../x", "/x", "/etc/y", "/b//c", "/b/c", "/b/./c", "//etc/y"} {
		if got := f.ask("GET", path); got != nil && strings.Contains(got.Body.String(), "secret") {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	for _, folder := range []string{"/", "/a/"} {
		if body := f.ask("GET", folder).Body.String(); strings.Contains(body, ".git") || strings.Contains(body, ".env") || strings.Contains(body, ".well-known") || !strings.Contains(body, `href="./`) {
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
