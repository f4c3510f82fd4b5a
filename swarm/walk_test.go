package swarm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kith.alt/kith"
)

// TestSite publishes a folder as a site and as files: a copy of a site has what
// its host serves, and nothing else.
func TestSite(t *testing.T) {
	v := newVillage(t, "maple")
	maple := v.host("maple")
	outside := filepath.Join(maple.files, "outside")
	dir := filepath.Join(maple.files, "site")
	for _, name := range []string{
		"outside/secret", "site/index.html", "site/docs/a.html", "site/a\u200cb", "site/\u200c.git/config", "site/\ufeffx",
		"site/.git/config", "site/docs/.env", "site/.well-known/security.txt", "site/.well-known/.hidden",
		"site/docs/.well-known/x", "site/a:b", "site/b.part~", "site/releases/5/app.js", "site/.releases/6/app.js",
	} {
		maple.write(t, filepath.FromSlash(name), 10)
	}
	for name, target := range map[string]string{
		"out": outside, "secret": filepath.Join(outside, "secret"), "up": "../outside/secret", "nowhere": "none",
		"loop": "loop", "docs/self": "../docs", "docs/top": "..", "absolute": filepath.Join(dir, "index.html"),
		"home.html": "index.html", "current": "releases/5", "next": ".releases/6", "docs/home.html": "../index.html",
		"releases/docs": "../docs", ".link": "index.html", "device": "/dev/zero",
	} {
		if err := os.Symlink(target, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Skip("no links: ", err)
		}
	}
	published := func(kind string) []string {
		t.Helper()
		entry, err := maple.Publish(t.Context(), kith.Publication{Path: dir, Title: kind, Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		files, err := maple.Files(entry.Content)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			if f.Size != 10 {
				t.Errorf("%s has %d bytes", f.Path, f.Size)
			}
			names = append(names, f.Path)
		}
		slices.Sort(names)
		return names
	}
	want := []string{
		".well-known/security.txt", "a\u200cb", "b.part~", "current/app.js", "docs/a.html", "docs/home.html", "home.html",
		"index.html", "next/app.js", "releases/5/app.js", "releases/docs/a.html", "releases/docs/home.html",
	}
	if got := published(kith.EntrySite); !slices.Equal(got, want) {
		t.Errorf("the site has\n%q, want\n%q", got, want)
	}
	if !maple.said.has("first=a:b") {
		t.Error("nothing is said of the file that copies do without")
	}
	for _, name := range []string{"a:b", "\u200c.git"} { // no names of files that are shared
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range published(kith.EntryFiles) {
		if strings.Contains(name, "home") || strings.Contains(name, "secret") || strings.HasPrefix(name, "next") || strings.HasPrefix(name, "current") {
			t.Errorf("%s is shared, which is a link", name)
		}
	}
}

// TestManyLinks has folders that lead to each other in more ways than anybody counts.
func TestManyLinks(t *testing.T) {
	v := newVillage(t, "maple")
	maple := v.host("maple")
	for i := range 12 {
		maple.write(t, fmt.Sprintf("site/%d/a", i), 1)
		for j := range 12 {
			if err := os.Symlink(fmt.Sprintf("../%d", j), filepath.Join(maple.files, "site", fmt.Sprint(i), fmt.Sprintf("to-%d", j))); err != nil {
				t.Skip("no links: ", err)
			}
		}
	}
	_, err := maple.Publish(t.Context(), kith.Publication{Path: filepath.Join(maple.files, "site"), Kind: kith.EntrySite})
	if err == nil || !strings.Contains(err.Error(), "more than 5000 links") {
		t.Errorf("published: %v", err)
	}
}
