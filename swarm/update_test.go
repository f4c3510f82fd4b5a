package swarm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

// A parcel is what maple publishes as "box" and oak follows, a file or a folder.
type parcel struct {
	t          *testing.T
	maple, oak *villager
	target     string
	entry      kith.Entry
}

// tree is files by name; "" is the box itself.
type tree map[string]string

func newParcel(t *testing.T, files tree) *parcel {
	t.Helper()
	v := newVillage(t, "maple", "oak")
	p := &parcel{t: t, maple: v.host("maple"), oak: v.host("oak")}
	p.target = filepath.Join(p.oak.files, "box")
	p.publish(files)
	if _, err := p.oak.Take(t.Context(), kith.Taking{Content: p.entry.Content, Entry: p.entry, Path: p.target, Follow: true}); err != nil {
		t.Fatal(err)
	}
	p.arrives()
	return p
}

// publish makes a version of the box.
func (p *parcel) publish(files tree) {
	p.t.Helper()
	folder := filepath.Join(p.maple.files, "box")
	if err := os.RemoveAll(folder); err != nil {
		p.t.Fatal(err)
	}
	put(p.t, folder, files)
	var err error
	if p.entry, err = p.maple.Publish(p.t.Context(), kith.Publication{Path: folder}); err != nil {
		p.t.Fatal(err)
	}
}

// arrives waits until oak has the version that was published last, and none else.
func (p *parcel) arrives() {
	p.t.Helper()
	p.oak.until(p.t, "at the newest version", func() bool {
		list := p.oak.Holdings()
		if len(list) > 0 && list[0].Reason != "" {
			p.t.Fatalf("it stopped: %s", list[0].Reason)
		}
		return len(list) == 1 && list[0].Content == p.entry.Content && list[0].State == kith.HoldingComplete
	})
}

// put writes files.
func put(t *testing.T, folder string, files tree) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// found returns the files at path, and beside it those that are called like it.
func found(t *testing.T, path string) tree {
	t.Helper()
	files := make(tree)
	err := filepath.WalkDir(filepath.Dir(path), func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		name := strings.TrimPrefix(strings.TrimPrefix(file, path), string(filepath.Separator))
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestNewerVersions has newer versions take the place of older ones, with what a
// person did in between.
func TestNewerVersions(t *testing.T) {
	t.Parallel()
	kept := func(name string) string { return strings.TrimPrefix(keptName("box"+name, time.Now(), 1), "box") }
	long := string(bytes.Repeat([]byte("a long text "), 10_000))
	tests := make(map[string]func(*testing.T))
	for name, c := range map[string]struct {
		first, mine, second, want tree
		moved                     bool // all that is new was here under another name
	}{
		"a file that was edited": {
			first: tree{"": "one"}, mine: tree{"": "mine"}, second: tree{"": "two"},
			want: tree{"": "two", kept(""): "mine"},
		},
		"a file that was not": {
			first: tree{"": "one"}, second: tree{"": "two"}, want: tree{"": "two"},
		},
		"files that were edited": {
			first: tree{"a.txt": "one", "b": "one", "c": "one", "d": ""}, mine: tree{"a.txt": "mine", "c": "mine", "d": "mine", "e": "mine"},
			second: tree{"a.txt": "two", "b": "two", "c": "one", "d": "", "e": "two"},
			want: tree{"a.txt": "two", "b": "two", "c": "one", "d": "", "e": "two",
				kept("a.txt"): "mine", kept("c"): "mine", kept("d"): "mine", kept("e"): "mine"},
		},
		"a file becomes a folder": {
			first: tree{"a": "one", "z": "z"}, second: tree{"a/b/c": "two", "z": "z"}, want: tree{"a/b/c": "two", "z": "z"},
		},
		"a file that was edited becomes a folder": {
			first: tree{"a": "one", "z": "z"}, mine: tree{"a": "mine"}, second: tree{"a/b": "two", "z": "z"},
			want: tree{"a/b": "two", "z": "z", kept("a"): "mine"},
		},
		"a file moves into a folder of its name": {
			first: tree{"a": long, "z": "z"}, second: tree{"a/a": long, "z": "z"}, want: tree{"a/a": long, "z": "z"}, moved: true,
		},
		"a folder becomes a file": {
			first: tree{"a/b/c": "one", "a/d": "one", "z": "z"}, second: tree{"a": "two", "z": "z"}, want: tree{"a": "two", "z": "z"},
		},
		"a folder with a person's file becomes a file": {
			first: tree{"a/b/c": "one", "a/d": "one", "z": "z"}, mine: tree{"a/b/mine": "mine", "a/d": "mine"}, second: tree{"a": "two", "z": "z"},
			want: tree{"a": "two", "z": "z", kept("a") + "/b/mine": "mine", kept("a") + "/d": "mine"},
		},
		"a file comes out of a folder of its name": {
			first: tree{"a/a": long, "z": "z"}, second: tree{"a": long, "z": "z"}, want: tree{"a": long, "z": "z"}, moved: true,
		},
		"all becomes a file": {
			first: tree{"a": long, "b": "one"}, second: tree{"": long}, want: tree{"": long}, moved: true,
		},
		"a file becomes all": {
			first: tree{"": long}, second: tree{"a": long, "b": long}, want: tree{"a": long, "b": long}, moved: true,
		},
		"files that are named in turn": {
			first: tree{"log.1": long + "1", "log.2": long + "2"}, second: tree{"log.1": long + "2", "log.2": long + "1"},
			want: tree{"log.1": long + "2", "log.2": long + "1"}, moved: true,
		},
	} {
		tests[name] = func(t *testing.T) {
			p := newParcel(t, c.first)
			put(t, p.target, c.mine)
			p.publish(c.second)
			p.arrives()
			got := found(t, p.target)
			for name, text := range c.want {
				if got[name] != text {
					t.Errorf("%q has %.40q, want %.40q", name, got[name], text)
				}
				delete(got, name)
			}
			for name, text := range got {
				t.Errorf("%q has %.40q, and should not be here", name, text)
			}
			if said := p.oak.said.has("What you changed was not overwritten"); said != (len(c.mine) > 0) {
				t.Errorf("the owner is told: %v", said)
			}
			if h := p.oak.holdingOf(t, p.entry.Content); c.moved && h.Received > 0 {
				t.Errorf("%d bytes came though all was here", h.Received)
			}
		}
	}
	together(t, tests)
}

// TestReplaceUnknown takes content to where something stands that nobody knows.
func TestReplaceUnknown(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	id, data, target := shared(t, v, 100_000, 0)
	put(t, target, tree{"": "mine"})
	taking := kith.Taking{Content: id, Path: target}
	if _, err := oak.Take(t.Context(), taking); !errors.Is(err, kith.Exists) {
		t.Errorf("taken to where something stands: %v", err)
	}
	taking.Replace = true
	if _, err := oak.Take(t.Context(), taking); err != nil {
		t.Fatal(err)
	}
	oak.untilComplete(t, id, target, data)
	if got, err := os.ReadFile(keptName(target, time.Now(), 1)); err != nil || string(got) != "mine" {
		t.Errorf("what stood there: %q, %v", got, err)
	}
}

func TestKeptName(t *testing.T) {
	day := time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		path string
		n    int
		want string
	}{
		{"/x/song.ogg", 1, "/x/song (kept 2026-11-22).ogg"},
		{"/x/song.ogg", 3, "/x/song (kept 2026-11-22, 3).ogg"},
		{"/x/.bashrc", 1, "/x/.bashrc (kept 2026-11-22)"},
		{"/x/folder", 1, "/x/folder (kept 2026-11-22)"},
		{"/x/a.no ending that is one", 1, "/x/a.no ending that is one (kept 2026-11-22)"},
		{"/x/" + strings.Repeat("ä", 126) + ".go", 1, "/x/" + strings.Repeat("ä", 117) + " (kept 2026-11-22).go"},
	} {
		if got := keptName(c.path, day, c.n); filepath.ToSlash(got) != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
}
