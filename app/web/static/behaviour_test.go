package static

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
)

func TestNoWayOut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows")
	}
	outside := newSite(t, map[string]string{"secret.txt": "secret", "index.html": "secret"})
	dir := newSite(t, map[string]string{"real/a.txt": "inside", "album/b.txt": "b"})
	for name, target := range map[string]string{
		"file":       filepath.Join(outside, "secret.txt"),
		"folder":     outside,
		"relative":   "../" + filepath.Base(outside) + "/secret.txt",
		"album/up":   "../../" + filepath.Base(outside) + "/secret.txt",
		"loop":       "loop",
		"device":     "/dev/zero",
		"inside.txt": "real/a.txt",
		"inside":     "real",
		"404.html":   filepath.Join(outside, "secret.txt"),
		"real/index": "../real/../real/a.txt",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	server := newServer(t, dir)
	for _, path := range []string{"/file", "/folder", "/folder/", "/folder/secret.txt", "/relative", "/album/up", "/loop", "/device"} {
		response, body := get(t, server, path)
		if response.StatusCode != http.StatusNotFound || bytes.Contains(body, []byte("secret")) {
			t.Errorf("%s: %s, %q", path, response.Status, body)
		}
	}
	for _, path := range []string{"/inside.txt", "/inside/a.txt", "/real/index"} {
		if response, body := get(t, server, path); string(body) != "inside" {
			t.Errorf("%s: %s, %q: links that stay inside are followed", path, response.Status, body)
		}
	}
	_, body := get(t, server, "/")
	if want := "listing of /\n\"album\" -> ./album/ (0)\n\"inside\" -> ./inside/ (0)\n\"real\" -> ./real/ (0)\n\"inside.txt\" -> ./inside.txt (6)\n"; string(body) != want {
		t.Errorf("listing:\n%swant:\n%s", body, want)
	}
}

// TestPipe asks for a pipe, which nobody writes to: that must not hang.
func TestPipe(t *testing.T) {
	mkfifo := require.Tool(t, "mkfifo")
	dir := newSite(t, map[string]string{"a.txt": "a"})
	if out, err := exec.Command(mkfifo, filepath.Join(dir, "pipe")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := newServer(t, dir)
	if response, _ := get(t, server, "/pipe"); response.StatusCode != http.StatusNotFound {
		t.Errorf("a pipe: %s", response.Status)
	}
	if _, body := get(t, server, "/"); bytes.Contains(body, []byte("pipe")) {
		t.Errorf("the listing shows a pipe:\n%s", body)
	}
}

func TestChangesAreLive(t *testing.T) {
	dir := newSite(t, map[string]string{"a.txt": "one"})
	server := newServer(t, dir)
	response, _ := get(t, server, "/a.txt")
	tag := response.Header.Get("ETag")

	// The same size at the same time: only the content differs.
	write(t, filepath.Join(dir, "a.txt"), "two", modified)
	response, body := get(t, server, "/a.txt", "If-None-Match: "+tag)
	if response.StatusCode != http.StatusOK || string(body) != "two" {
		t.Errorf("after a change: %s, %q", response.Status, body)
	}
	if err := os.Remove(filepath.Join(dir, "a.txt")); err != nil {
		t.Fatal(err)
	}
	if response, _ := get(t, server, "/a.txt"); response.StatusCode != http.StatusNotFound {
		t.Errorf("after removal: %s", response.Status)
	}

	// A site generator puts a new folder in the place of the old one.
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if response, _ := get(t, server, "/b.txt"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the folder is away: %s", response.Status)
	}
	write(t, filepath.Join(dir, "b.txt"), "new", modified)
	if response, body := get(t, server, "/b.txt"); string(body) != "new" {
		t.Errorf("after the folder came back: %s, %q", response.Status, body)
	}
}

func TestMissingPage(t *testing.T) {
	server := newServer(t, newSite(t, map[string]string{"404.html": "<p>Not here</p>"}))
	response, body := get(t, server, "/nowhere")
	if response.StatusCode != http.StatusNotFound || string(body) != "<p>Not here</p>" ||
		response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%s, %s, %q", response.Status, response.Header.Get("Content-Type"), body)
	}
}

func TestUnreadable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists instead")
	}
	if !require.Permissions(t) {
		return
	}
	dir := newSite(t, map[string]string{"a.txt": "a"})
	if err := os.Chmod(filepath.Join(dir, "a.txt"), 0); err != nil {
		t.Fatal(err)
	}
	if response, _ := get(t, newServer(t, dir), "/a.txt"); response.StatusCode != http.StatusForbidden {
		t.Errorf("an unreadable file: %s", response.Status)
	}
}

// TestLarge has files that are streamed, coded and not, whole and in parts.
func TestLarge(t *testing.T) {
	var text strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	want := text.String()
	dir := newSite(t, map[string]string{"large.txt": want, "large": want})
	server := newServer(t, dir)
	tags := make(map[string]string)
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		response, body := get(t, server, "/large.txt", "Accept-Encoding: "+coding)
		if got := printed(response, body); response.StatusCode != http.StatusOK || !strings.Contains(got, fmt.Sprint(len(want), " bytes")) {
			t.Errorf("%s:\n%s", coding, got)
		}
		tag := response.Header.Get("ETag")
		if other := tags[tag]; other != "" || tag == "" || strings.HasPrefix(tag, "W/") {
			t.Errorf("%s and %s share the tag %s", coding, other, tag)
		}
		tags[tag] = coding
		if again, _ := get(t, server, "/large.txt", "Accept-Encoding: "+coding, "If-None-Match: "+tag); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %s", coding, again.Status)
		}
	}
	response, body := get(t, server, "/large", "Range: bytes=100000-100009,5-9")
	if response.StatusCode != http.StatusPartialContent || !strings.Contains(string(body), want[100000:100010]) || !strings.Contains(string(body), want[5:10]) {
		t.Errorf("two ranges: %s\n%s", response.Status, body)
	}
	response, body = get(t, server, "/large")
	if response.Header.Get("Content-Type") != "text/plain; charset=utf-8" || string(body) != want {
		t.Errorf("without an extension: %s, %d bytes", response.Header.Get("Content-Type"), len(body))
	}
	write(t, filepath.Join(dir, "large"), want[1:]+"\n", modified.Add(time.Millisecond))
	if again, _ := get(t, server, "/large", "If-None-Match: "+response.Header.Get("ETag")); again.StatusCode != http.StatusOK {
		t.Errorf("after a change: %s", again.Status)
	}
}

// TestBusyEncoders has more requests at once than encoders: all are answered.
func TestBusyEncoders(t *testing.T) {
	want := strings.Repeat("busy ", 30_000)
	server := newServer(t, newSite(t, map[string]string{"a.txt": want}))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			request, err := http.NewRequest(http.MethodGet, server.URL+"/a.txt", nil)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := server.Client().Do(request) // asks for gzip, and decodes
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); err != nil || string(body) != want {
				t.Errorf("%d bytes, %v", len(body), err)
			}
		})
	}
	wg.Wait()

	c := newCodings()
	for range cap(c.free) {
		if c.take(codingGzip) == nil {
			t.Fatal("no encoder although some are free")
		}
	}
	if c.take(codingZstd) != nil {
		t.Error("more encoders than the bound")
	}
}

func TestListingIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxListed + 1 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	var got Listing
	s := New(nil, Pages{Listing: func(_ http.ResponseWriter, _ *http.Request, l Listing) { got = l }})
	s.ServeDir(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), dir, "")
	if len(got.Entries) != maxListed || !got.More {
		t.Errorf("%d entries, more: %v", len(got.Entries), got.More)
	}
}

func TestCurl(t *testing.T) {
	curl := require.Tool(t, "curl")
	want := strings.Repeat("curl reads this\n", 10_000)
	server := newServer(t, newSite(t, map[string]string{"a.txt": want}))
	for _, options := range [][]string{nil, {"--compressed"}} {
		out, err := exec.Command(curl, append(options, "-sSf", server.URL+"/a.txt")...).Output()
		if err != nil || string(out) != want {
			t.Errorf("curl %v: %v, %d bytes", options, err, len(out))
		}
	}
	half := filepath.Join(t.TempDir(), "half")
	if err := os.WriteFile(half, []byte(want[:70_000]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(curl, "-sSf", "-C", "-", "-o", half, server.URL+"/a.txt").CombinedOutput(); err != nil {
		t.Fatalf("resume: %v: %s", err, out)
	}
	if got, err := os.ReadFile(half); err != nil || string(got) != want {
		t.Errorf("resumed to %d bytes, %v", len(got), err)
	}
}

// FuzzPath asks for any path: nothing outside of the site is ever read.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/in.txt", "/../secret.txt", "/a/../../secret.txt", "/%2e%2e/secret.txt", "/.hidden", "//x", "/a\x00", "/docs", "/docs/in.txt", "/\\..\\secret.txt", "/up/secret.txt"} {
		f.Add(seed)
	}
	parent := newSite(f, map[string]string{"secret.txt": "secret", "site/in.txt": "in", "site/.hidden": "secret", "site/a/b.txt": "b"})
	if err := os.Symlink("..", filepath.Join(parent, "site", "up")); err != nil && runtime.GOOS != "windows" {
		f.Fatal(err)
	}
	s := New(nil, Pages{
		Listing: func(http.ResponseWriter, *http.Request, Listing) {},
		Error:   func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) },
	})
	f.Fuzz(func(t *testing.T, path string) {
		for _, u := range []*url.URL{{Path: path}, {Path: path, RawPath: path}} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL = u
			s.ServeDir(w, r, filepath.Join(parent, "site"), "")
			if w.Code == http.StatusOK && strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%q reads the secret", path)
			}
			if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
				t.Errorf("%q redirects to %q", path, to)
			}
		}
	})
}

// FuzzAcceptEncoding holds any header to what RFC 9110 12.5.3 says.
func FuzzAcceptEncoding(f *testing.F) {
	for _, seed := range []string{"", "gzip", "gzip;q=0.5, *;q=0", "identity;q=0", "*;q=0", "br;Q=1.000,zstd;q=2", ";;,,=", "gzip;q=0.0001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := parseAccept([]string{header})
		last := 1000
		for _, c := range a.codings() {
			q := a.of(c.name)
			if q < 1 || q > last {
				t.Errorf("%q: %s of weight %d after %d", header, c.name, q, last)
			}
			last = q
		}
		if !strings.Contains(header, "*") && !strings.Contains(strings.ToLower(header), "identity") && !a.identity() {
			t.Errorf("%q refuses identity", header)
		}
	})
}

func BenchmarkFile(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dir := newSite(b, map[string]string{"a.bin": strings.Repeat("x", size)})
			s := New(nil, Pages{})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w := &discard{header: make(http.Header)}
				s.ServeDir(w, httptest.NewRequest(http.MethodGet, "/a.bin", nil), dir, "")
			}
		})
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
