package web

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kith.alt/kith"
)

func folder(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSample(t *testing.T) {
	f := start(t)
	response, body := f.get(t, "/")
	if response.StatusCode != http.StatusOK || !strings.Contains(body, "Welcome to maple") || !strings.Contains(body, "kith publish") {
		t.Errorf("the sample page: %s\n%s", response.Status, body)
	}
	if response, _ := f.get(t, "/", "Accept-Encoding", "zstd"); response.Header.Get("Content-Encoding") != "zstd" || response.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("it is not coded: %v", response.Header)
	}
	if response, body := f.get(t, "/nowhere"); response.StatusCode != http.StatusNotFound || !strings.Contains(body, "/nowhere") {
		t.Errorf("beside the sample page: %s\n%s", response.Status, body)
	}
}

func TestPublish(t *testing.T) {
	f := start(t)
	parent := folder(t, "site/index.html", "hello", "docs/a.txt", "a", "docs/sub/b.txt", "b", "file", "x")

	if out := f.must(t, parent, "publish", "site"); out != "http://maple--home.localhost:8080/\n" {
		t.Errorf("publish prints %q", out)
	}
	if _, body := f.get(t, "/"); body != "hello" {
		t.Errorf("the site: %q", body)
	}
	if out := f.must(t, parent, "publish", "--at", "/read me", filepath.Join(parent, "docs")); out != "http://maple--home.localhost:8080/read%20me/\n" {
		t.Errorf("publish --at prints %q", out)
	}
	if _, body := f.get(t, "/read%20me/a.txt"); body != "a" {
		t.Errorf("below a path: %q", body)
	}
	if response, _ := f.get(t, "/read%20me?x=y"); response.Header.Get("Location") != "/read%20me/?x=y" {
		t.Errorf("without the slash: %s %s", response.Status, response.Header.Get("Location"))
	}
	if response, body := f.get(t, "/read%20me/"); response.StatusCode != http.StatusOK || !strings.Contains(body, `href="./a.txt"`) || !strings.Contains(body, `href="./sub/"`) {
		t.Errorf("the listing: %s\n%s", response.Status, body)
	}

	// Another folder takes the place of the first.
	out, notice, err := f.Run(t.Context(), parent, "publish", "docs", "--json")
	if err != nil || !strings.Contains(out, `"url": "http://maple--home.localhost:8080/"`) || notice != "" {
		t.Errorf("publish --json: %q, %q, %v", out, notice, err)
	}
	if _, body := f.get(t, "/sub/b.txt"); body != "b" {
		t.Errorf("after publishing another: %q", body)
	}
	if _, notice, _ := f.Run(t.Context(), parent, "publish", "site"); !strings.Contains(notice, filepath.Join(parent, "docs")) {
		t.Errorf("what was replaced is not said: %q", notice)
	}

	if err := os.RemoveAll(filepath.Join(parent, "docs")); err != nil {
		t.Fatal(err)
	}
	if out := f.must(t, parent, "sites"); !strings.Contains(out, "missing") {
		t.Errorf("sites does not say what is missing:\n%s", out)
	}
	if response, body := f.get(t, "/read%20me/a.txt"); response.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, parent) {
		t.Errorf("a missing folder: %s\n%s", response.Status, body)
	}
	f.must(t, parent, "unpublish", "/read me")
	if response, _ := f.get(t, "/read%20me/"); response.StatusCode != http.StatusNotFound {
		t.Errorf("after unpublishing: %s", response.Status)
	}
	f.must(t, parent, "unpublish", "/")
	if _, body := f.get(t, "/"); !strings.Contains(body, "Welcome to maple") {
		t.Errorf("after unpublishing the site:\n%s", body)
	}
	if events := f.Events(); len(events) != 6 || !slices.ContainsFunc(events, func(text string) bool { return text == "You published docs at /." }) {
		t.Errorf("events: %q", events)
	}
}

func TestRefused(t *testing.T) {
	f := start(t)
	parent := folder(t, "site/index.html", "hello", "file", "x", "private/key", "")
	home := filepath.Join(parent, "home", "ada")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	taken, err := f.ListenPort(t.Context(), 4000)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f.must(t, parent, "expose", "3000", "--as", "wiki")
	f.must(t, parent, "publish", "site", "--at", "docs")

	for command, want := range map[string]struct {
		kind kith.Kind
		says string
	}{
		"publish nowhere":             {kith.NotFound, "nowhere"},
		"publish file":                {kith.Invalid, "is a file"},
		"publish private":             {kith.Invalid, "its key"},
		"expose 8080":                 {kith.Denied, "kith's own"},
		"publish home/ada":            {kith.Invalid, "home folder"},
		"publish home":                {kith.Invalid, "home folder"},
		"publish /":                   {kith.Invalid, "home folder"},
		"publish site --at /../x":     {kith.Invalid, "no part of the path may be empty"},
		"publish site --at /a//b":     {kith.Invalid, "no part of the path may be empty"},
		"publish site --at /.secret":  {kith.Invalid, "no part of the path may be empty"},
		`publish site --at /a\b`:      {kith.Invalid, "characters"},
		"publish site --at /wiki":     {kith.Exists, "kith unexpose 3000"},
		"unpublish /nothing":          {kith.NotFound, "kith sites"},
		"expose web":                  {kith.Invalid, "no port"},
		"expose 0":                    {kith.Invalid, "no port"},
		"expose 70000":                {kith.Invalid, "no port"},
		"expose 22":                   {kith.Denied, "--to 8022"},
		"expose 3000 --to 80":         {kith.Denied, "--to"},
		"expose 5269":                 {kith.Denied, "chat"},
		"expose 4000":                 {kith.InUse, "--to"},
		"expose 3001 --as Wiki":       {kith.Invalid, "Wiki"},
		"expose 3001 --as a/b":        {kith.Invalid, "a/b"},
		"expose 3001 --as docs":       {kith.Exists, "kith unpublish /docs"},
		"expose 3001 --as wiki":       {kith.Exists, "kith unexpose 3000"},
		"unexpose 9999":               {kith.NotFound, "kith sites"},
		"unexpose wiki":               {kith.Invalid, "no port"},
		"publish site --at " + long(): {kith.Invalid, "bytes"},
	} {
		words := strings.Fields(command)
		_, _, err := f.Run(t.Context(), parent, words[0], words[1:]...)
		if !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("kith %s: %v; want %v, and %q", command, err, want.kind, want.says)
		}
	}
	if out := f.must(t, parent, "sites"); strings.Count(out, "\n") != 4 { // the sample, /docs, the port, /wiki
		t.Errorf("what was refused left something behind:\n%s", out)
	}
}

func long() string { return strings.Repeat("x", maxPath) }

// TestRestart has everything where it was, also what is missing now.
func TestRestart(t *testing.T) {
	parent := folder(t, "site/index.html", "hello", "gone/a.txt", "a")
	echo := listenEcho(t)
	f := start(t)
	f.must(t, parent, "publish", "site")
	f.must(t, parent, "publish", "gone", "--at", "/gone")
	f.must(t, parent, "expose", strconv.Itoa(echo), "--to", "4000")
	f.stop()
	if err := os.RemoveAll(filepath.Join(parent, "gone")); err != nil {
		t.Fatal(err)
	}

	f.stop = f.Serve(t)
	if _, body := f.get(t, "/"); body != "hello" {
		t.Errorf("the site: %q", body)
	}
	if response, _ := f.get(t, "/gone/"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("what is missing: %s", response.Status)
	}
	checkEcho(t, f, 4000)
	if out := f.must(t, parent, "sites"); !strings.Contains(out, "missing") {
		t.Errorf("sites:\n%s", out)
	}
}

// TestPaths has the longest path that fits serve a request.
func TestPaths(t *testing.T) {
	f := start(t)
	for at, content := range map[string]string{"/": "top", "/a": "a", "/a/b": "ab", "/ab": "other"} {
		f.must(t, folder(t, "x", content), "publish", ".", "--at", at)
	}
	for path, want := range map[string]string{"/x": "top", "/a/x": "a", "/a/b/x": "ab", "/ab/x": "other"} {
		if _, body := f.get(t, path); body != want {
			t.Errorf("%s: %q", path, body)
		}
	}
}

func TestSitePath(t *testing.T) {
	for typed, want := range map[string]string{"": "/", "/": "/", "docs": "/docs", "/docs/": "/docs", "/a/b": "/a/b", "/ä ü": "/ä ü"} {
		if got, err := sitePath(typed); got != want || err != nil {
			t.Errorf("sitePath(%q) = %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"/.git", "/a/.b", "/\u200c.git", "/a\u202efdp.exe", "/a\nb", "/a//b", `/a\b`} {
		if got, err := sitePath(typed); err == nil {
			t.Errorf("sitePath(%q) = %q", typed, got)
		}
	}
}

// FuzzSitePath has any text for a path: what is accepted stays as it is when
// it is read again, and has nothing hidden in it.
func FuzzSitePath(f *testing.F) {
	for _, seed := range []string{"", "/", "docs/", "/a//b", "/..", "/.well-known", "/\x00", "/é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		path, err := sitePath(typed)
		if err != nil {
			return
		}
		again, err := sitePath(path)
		if err != nil || again != path || path[0] != '/' || strings.Contains(path, "/.") || strings.Contains(path, "//") {
			t.Errorf("%q becomes %q, and then %q, %v", typed, path, again, err)
		}
	})
}

// A hostWithout is a host that runs no gateway.
type hostWithout struct{ kith.Host }

func (hostWithout) Name() kith.Name         { return kith.Name{Host: "maple", Group: "home"} }
func (hostWithout) Link(path string) string { return path }

func TestAddressWithoutGateway(t *testing.T) {
	w := &web{host: hostWithout{}}
	if got, want := w.url("/two words"), "http://maple.home.kith.alt/two%20words/"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
