package static

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write the golden files anew")

var modified = time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)

// newServer serves dir at the top, and at /docs too.
func newServer(t testing.TB, dir string) *httptest.Server {
	t.Helper()
	s := New(slog.New(slog.DiscardHandler), Pages{
		Listing: func(w http.ResponseWriter, r *http.Request, l Listing) {
			fmt.Fprintf(w, "listing of %s\n", l.Path)
			for _, e := range l.Entries {
				fmt.Fprintf(w, "%q -> %s (%d)\n", e.Name, e.Href, e.Size)
			}
		},
		Error: func(w http.ResponseWriter, r *http.Request, status int) {
			http.Error(w, "page for "+http.StatusText(status), status)
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := ""
		if r.URL.Path == "/docs" || strings.HasPrefix(r.URL.Path, "/docs/") {
			at = "/docs"
		}
		s.ServeDir(w, r, dir, at)
	}))
	t.Cleanup(server.Close)
	return server
}

// newSite makes a folder with the given files, all of one age.
func newSite(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content, modified)
	}
	return dir
}

func write(t testing.TB, path, content string, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request as it is written: nothing is made canonical.
func ask(t testing.TB, server *httptest.Server, lines ...string) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	method, target, _ := strings.Cut(lines[0], " ")
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: maple.home.kith.alt\r\nConnection: close\r\n", method, target)
	for _, line := range lines[1:] {
		request += line + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%q: body: %v", lines, err)
	}
	return response, body
}

func get(t testing.TB, server *httptest.Server, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	return ask(t, server, append([]string{"GET " + path}, headers...)...)
}

// TestGolden holds the conversations in testdata: requests, each followed by
// the response as it must be.
func TestGolden(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the site has names that Windows does not allow")
	}
	long := strings.Repeat("Your own Internet, run by the computers you already have.\n", 40)
	dir := newSite(t, map[string]string{
		"index.html":         "<!doctype html><title>Maple</title>",
		"hello.txt":          "hello, world\n",
		"empty.txt":          "",
		"long.css":           long,
		"picture.png":        "\x89PNG\r\n\x1a\n" + long,
		"README":             "no extension\n",
		"unknown.zzz":        "\x00\x01\x02",
		"LOUD.HTML":          "loud",
		"app.js":             long,
		"app.js.gz":          gzipped(t, "from the .gz\n"),
		"app.js.br":          "pretend brotli",
		"old.js":             long,
		"album/a b&c?#%.txt": "odd",
		"album/x:y.txt":      "colon",
		"album/Zebra/z.txt":  "z",
		"album/apple.txt":    "apple",
		"album/.secret":      "secret",
		"sub/index.html":     "sub",
		".env":               "KEY=1",
		".git/config":        "[core]",
		".well-known/a.txt":  "well known",
		"a/.well-known/b":    "hidden",
	})
	write(t, filepath.Join(dir, "old.js.gz"), gzipped(t, "stale"), modified.Add(-time.Hour))
	server := newServer(t, dir)

	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for exchange := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n====\n") {
				request, want, _ := strings.Cut(exchange, "\n----\n")
				request = strings.TrimSuffix(strings.TrimSpace(request), "\n----")
				var lines []string
				for line := range strings.Lines(request) {
					if !strings.HasPrefix(line, "#") {
						lines = append(lines, strings.TrimSpace(line))
					}
				}
				got := printed(ask(t, server, lines...))
				if got != want && !*update {
					t.Errorf("%s\n--- got\n%s\n--- want\n%s", request, got, want)
				}
				out = append(out, request+"\n----\n"+got)
			}
			if *update {
				if err := os.WriteFile(name, []byte(strings.Join(out, "\n\n====\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

var boundary = regexp.MustCompile(`[0-9a-f]{60}`)

// printed writes a response for people to compare.
func printed(response *http.Response, body []byte) string {
	var out strings.Builder
	fmt.Fprintln(&out, response.Status)
	h := response.Header
	for _, name := range []string{"Connection", "Date"} {
		h.Del(name)
	}
	if response.ContentLength < 0 {
		h.Set("Content-Length", "unknown")
	}
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&out, "%s: %s\n", name, strings.Join(h[name], " | "))
	}
	coding := ""
	switch h.Get("Content-Encoding") {
	case "gzip":
		if r, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(r)
			coding = "gzip of "
		}
	case "zstd":
		if r, err := zstd.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(r)
			coding = "zstd of "
		}
	}
	switch {
	case len(body) > 700:
		fmt.Fprintf(&out, "(%s%d bytes)\n", coding, len(body))
	case coding != "":
		fmt.Fprintf(&out, "(%s %q)\n", coding, body)
	case bytes.ContainsRune(body, 0):
		fmt.Fprintf(&out, "(%q)\n", body)
	case len(body) > 0:
		fmt.Fprintf(&out, "\n%s\n", bytes.ReplaceAll(body, []byte("\r"), nil))
	}
	return strings.TrimSpace(boundary.ReplaceAllString(out.String(), "BOUNDARY"))
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// brokenFS has a file that cannot be read at present.
type brokenFS struct{ fs.FS }

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == "away.txt" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("nobody has it")}
	}
	return b.FS.Open(name)
}

// TestServeFS has files that lie in no directory served like others.
func TestServeFS(t *testing.T) {
	large := strings.Repeat("0123456789", 20000)
	files := brokenFS{fstest.MapFS{
		"index.html": {Data: []byte("top")}, "large.bin": {Data: []byte(large)}, "a.css": {Data: []byte("b{}")}, "a.css.gz": {Data: []byte("older")},
		"docs/a.txt": {Data: []byte("a")}, ".git/config": {Data: []byte("secret")}, "404.html": {Data: []byte("missing here")},
	}}
	server := New(slog.New(slog.DiscardHandler), Pages{
		Listing: func(w http.ResponseWriter, _ *http.Request, l Listing) { fmt.Fprint(w, l.Path, len(l.Entries)) },
		Error:   func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) },
	})
	for _, test := range []struct {
		path, ranges string
		status       int
		body         string
	}{
		{"/at/", "", 200, "top"},
		{"/at/docs/", "", 200, "/at/docs/1"},
		{"/at/docs/a.txt", "", 200, "a"},
		{"/at/a.css", "", 200, "b{}"},
		{"/at/large.bin", "bytes=199998-", 206, "89"},
		{"/at/large.bin", "bytes=0-0,9-9", 206, ""},
		{"/at/large.bin", "", 200, large},
		{"/at/.git/config", "", 404, ""},
		{"/at/../at/.git/config", "", 404, ""},
		{"/at/nothing", "", 404, "missing here"},
		{"/at/away.txt", "", 500, ""},
		{"/at", "", 301, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, test.path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		if test.ranges != "" {
			r.Header.Set("Range", test.ranges)
		}
		w := httptest.NewRecorder()
		server.ServeFS(w, r, files, "/at")
		if w.Code != test.status || test.body != "" && w.Body.String() != test.body {
			t.Errorf("%s %s: %d %.100q, want %d %.100q", test.path, test.ranges, w.Code, w.Body, test.status, test.body)
		}
	}
}
