package web

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith"
)

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
	dir := folder(t, "a", "x", ".hidden", "", "docs/\u200c.hidden", "", ".well-known/a", "")
	for _, name := range []string{".hidden", "docs/\u200c.hidden", ".well-known/a", "a"} {
		if err := os.Truncate(filepath.Join(dir, name), maxShared+1); err != nil { // sparse
			t.Skip("no sparse files: ", err)
		}
		err := measure(dir)
		served := strings.HasSuffix(name, "a")
		if !served && err != nil || served && !errors.Is(err, kith.Quota) {
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

// TestBehind has something in a folder that the site does not show, as another
// thing stands in its place: copies would.
func TestBehind(t *testing.T) {
	f, w := startInWorld(t)
	parent := folder(t, "site/index.html", "hello", "site/wiki/secret.html", "s", "site/docs/a.txt", "a", "other/b.txt", "b")
	shared := func(want bool) {
		t.Helper()
		until(t, "it is as it should be", func() bool {
			for _, e := range w.swarm.Library() {
				if e.Host == f.ID() && e.Title == "/" {
					return want
				}
			}
			return !want
		})
	}
	f.must(t, parent, "publish", "site")
	f.must(t, parent, "publish", "site/docs", "--at", "/docs") // the same
	f.must(t, parent, "publish", "other", "--at", "/more")
	shared(true)
	f.must(t, parent, "expose", "3000", "--as", "wiki")
	shared(false)
	if out := f.must(t, parent, "sites"); !strings.Contains(out, "something of its own where /wiki/ stands on your site") {
		t.Errorf("sites says\n%s", out)
	}
	f.must(t, parent, "unexpose", "3000")
	f.must(t, parent, "publish", "site")
	shared(true)
	f.must(t, parent, "publish", "other", "--at", "/docs")
	shared(false)
	f.must(t, parent, "unpublish", "/docs")
	f.must(t, parent, "publish", "site")
	shared(true)
	f.must(t, parent, "publish", "site/docs", "--at", "/docs", "--no-copies")
	shared(false)
}
