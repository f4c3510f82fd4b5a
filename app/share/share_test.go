package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

func TestShare(t *testing.T) {
	f := start(t)
	f.write(t, "notes.txt", "hello")
	f.write(t, "photos/a.jpg", "aaa")
	f.write(t, "photos/b/c.jpg", "ccc")

	out := f.must(t, "share", "notes.txt")
	link, err := kith.ParseLink(strings.TrimSuffix(out, "\n"))
	if err != nil || link.Name != "notes.txt" || !slices.Equal(link.From, []kith.ID{maple}) || strings.Count(out, "\n") != 1 {
		t.Errorf("share prints %q: %+v, %v", out, link, err)
	}
	if again := f.must(t, "share", "./notes.txt"); again != out {
		t.Errorf("again: %q, first %q", again, out)
	}
	var item Item
	if err := json.Unmarshal([]byte(f.must(t, "share", "photos", "--title", "Our photos", "--json")), &item); err != nil {
		t.Fatal(err)
	}
	if item.Title != "Our photos" || item.From != "maple" || item.Files != 2 || !item.Folder || item.Size != 6 || !kith.IsLink(item.Link) {
		t.Errorf("--json: %+v", item)
	}

	day := time.Now().Format("2 Jan 15:04")
	library := f.must(t, "library")
	if want := "TITLE       HOST   SIZE  FILES  SHARED\n" +
		"notes.txt   maple  5 B   1      " + day + "\n" +
		"Our photos  maple  6 B   2      " + day + "\n"; library != want && time.Now().Format("2 Jan 15:04") == day {
		t.Errorf("library:\n%s\nwant\n%s", library, want)
	}
	if got, want := f.must(t, "share list"), fmt.Sprintf(
		"TITLE       HOST   SIZE  STATE   DOWN  UP  SENT  PATH\n"+
			"Our photos  maple  6 B   shared  -     -   0 B   %[1]s/photos\n"+
			"notes.txt   maple  5 B   shared  -     -   0 B   %[1]s/notes.txt\n", f.dir); got != want {
		t.Errorf("list:\n%s\nwant\n%s", got, want)
	}

	if out := f.must(t, "share stop", "Our photos"); out != "Our photos is no longer shared. To undo: kith share "+f.dir+"/photos --title 'Our photos'\n" {
		t.Errorf("stop prints %q", out)
	}
	if out := f.must(t, "share stop", link.String()); out != "notes.txt is no longer shared. To undo: kith share "+f.dir+"/notes.txt\n" {
		t.Errorf("stop by the link prints %q", out)
	}
	if out, told, err := f.Run(t.Context(), "", "library"); out != "" || told != "The library is empty. To share something: kith share PATH\n" || err != nil {
		t.Errorf("an empty library: %q, %q, %v", out, told, err)
	}
	if out := f.must(t, "library", "--json"); out != "[]\n" {
		t.Errorf("in JSON: %q", out)
	}
	if read(t, filepath.Join(f.dir, "notes.txt")) != "hello" {
		t.Error("the person's file is gone")
	}
	if events := f.Events(); len(events) != 4 || events[0] != "You share notes.txt." || events[3] != "You no longer share notes.txt." {
		t.Errorf("events: %q", events)
	}
}

func TestVerbs(t *testing.T) {
	f := start(t)
	path := f.write(t, "notes.txt", "hello")
	f.must(t, "share", "notes.txt")
	for _, test := range []struct{ verb, want, state string }{
		{"share pause", "notes.txt is paused. To go on: kith share resume maple/notes.txt\n", "paused 100%"},
		{"share resume", "notes.txt goes on.\n", "shared"},
		{"share follow", "notes.txt is followed. To end that: kith share unfollow maple/notes.txt\n", "shared, followed"},
		{"share unfollow", "notes.txt stays as it is.\n", "shared"},
		{"share pin", "notes.txt is kept. To undo: kith share unpin maple/notes.txt\n", "shared, pinned"},
		{"share unpin", "notes.txt may go when its room is needed.\n", "shared"},
		{"share verify", "All of notes.txt is as it was: 5 B.\n", "shared"},
	} {
		if got := f.must(t, test.verb, "maple/notes.txt"); got != test.want {
			t.Errorf("%s prints %q, want %q", test.verb, got, test.want)
		}
		if list := f.must(t, "share list"); !strings.Contains(list, "  "+test.state+"  ") {
			t.Errorf("after %s it is not %s:\n%s", test.verb, test.state, list)
		}
	}
	if err := os.WriteFile(path, []byte("HELLO"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := f.must(t, "share verify", "notes.txt"); !strings.HasPrefix(out, "Some of notes.txt is missing or damaged") {
		t.Errorf("verify of a changed file: %q", out)
	}

	magnet := f.must(t, "share torrent", "notes.txt")
	if !strings.HasPrefix(magnet, "magnet:?xt=urn:btmh:1220") || !strings.HasPrefix(read(t, filepath.Join(f.dir, "notes.txt.torrent")), "d8:announce") {
		t.Errorf("torrent prints %q", magnet)
	}
	if _, _, err := f.Run(t.Context(), f.dir, "share torrent", "notes.txt"); !errors.Is(err, kith.Exists) {
		t.Errorf("again: %v", err)
	}
	f.must(t, "share torrent", "notes.txt", "-o", "x.torrent")
	read(t, filepath.Join(f.dir, "x.torrent"))
	if out := f.must(t, "get", strings.TrimSpace(magnet), "-o", "copy.txt"); out != filepath.Join(f.dir, "copy.txt")+"\n" {
		t.Errorf("get by the magnet prints %q", out)
	}
}

func TestLimit(t *testing.T) {
	f := start(t)
	const none = `Up                 no limit
Down               no limit
To each member     no limit
From each member   no limit
Copies for others  2.0 GiB
Of each member     1.0 GiB
`
	if got := f.must(t, "share limit"); got != none {
		t.Errorf("no limits:\n%s", got)
	}
	got := f.must(t, "share limit", "--up", "1MiB/s", "--member-down", "8Mbit/s", "--copies", "5GiB",
		"--hours", "mon-fri 08:00-18:00 up=200KiB/s", "--hours", "22:00-06:00 down=none")
	if want := `Up                   1.0 MiB/s
Down                 no limit
To each member       no limit
From each member     976.6 KiB/s
Copies for others    5.0 GiB
Of each member       1.0 GiB
mon-fri 08:00-18:00  up 200.0 KiB/s, down no limit
every day 22:00-06:00  up no limit, down no limit
`; strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("limits:\n%s", got)
	}
	f.must(t, "share limit", "--up", "none", "--hours", "none", "--down", "2MB")
	if l := f.swarm.Limits(); l.Up != 0 || l.Down != 2_000_000 || len(l.Hours) != 0 || l.MemberDown != 1_000_000 {
		t.Errorf("limits: %+v", l)
	}
	for _, args := range [][]string{{"--up", "fast"}, {"--down", "-1"}, {"--copies", "much"}, {"--hours", "mon-fri"}, {"--hours", "08:00"}, {"--hours", "08:00-09:00 up=x"}, {"--hours", "mon tue 08:00-09:00"}} {
		if _, _, err := f.Run(t.Context(), "", "share limit", args...); !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, hours := range []string{"mon 8-9", "mon", "8-9"} {
		if _, _, err := f.Run(t.Context(), "", "share limit", "--hours", hours); err == nil || !strings.Contains(err.Error(), "08:00-18:00") {
			t.Errorf("%q does not show the right form: %v", hours, err)
		}
	}
}

func TestRefused(t *testing.T) {
	f := start(t)
	f.write(t, "notes.txt", "hello")
	f.write(t, "private/key", "secret")
	f.write(t, "taken.txt", "mine")
	f.must(t, "share", "notes.txt")
	f.swarm.Offer(kith.Entry{Host: oak, Title: "notes.txt", Name: "notes.txt"}, map[string]string{"": "oak's"})
	f.swarm.Offer(kith.Entry{Host: oak, Title: "taken.txt", Name: "taken.txt"}, map[string]string{"": "oak's"})
	f.swarm.Offer(kith.Entry{Host: oak, Title: "/", Name: "site", Kind: kith.EntrySite}, map[string]string{"index.html": "x"})
	unknown := kith.Link{Content: kith.ContentID{9}}.String()

	for _, test := range []struct {
		line []string
		kind kith.Kind
		says string
	}{
		{[]string{"share", "nowhere"}, kith.NotFound, "nowhere"},
		{[]string{"share", "private"}, kith.Invalid, "its key"},
		{[]string{"share", "private/key"}, kith.Invalid, "its key"},
		{[]string{"share", ".."}, kith.Invalid, "home folder"},
		{[]string{"share", f.home}, kith.Invalid, "home folder"},
		{[]string{"share", filepath.Dir(f.home)}, kith.Invalid, "home folder"},
		{[]string{"share", "/"}, kith.Invalid, "home folder"},
		{[]string{"share", "/dev/null"}, kith.Invalid, "neither"},
		{[]string{"share", "notes.txt", "--title", "a\x1b[31mb"}, kith.Invalid, "nobody can read"},
		{[]string{"share", "notes.txt", "--title", " a "}, kith.Invalid, "spaces"},
		{[]string{"share", "notes.txt", "--title", "kith:abc"}, kith.Invalid, "looks like a link"},
		{[]string{"share", "notes.txt", "--title", strings.Repeat("x", 201)}, kith.Invalid, "longer than 200"},
		{[]string{"get", "kith:nonsense"}, kith.Invalid, "52 letters"},
		{[]string{"get", "kith:"}, kith.Invalid, "52 letters"},
		{[]string{"get", "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"}, kith.Invalid, "no magnet link"},
		{[]string{"get", "magnet:?xt=urn:btmh:1220ffff"}, kith.Invalid, "no magnet link"},
		{[]string{"get", "https://example.org/x"}, kith.Invalid, "address of the web"},
		{[]string{"get", ""}, kith.Invalid, "no title"},
		{[]string{"get", "a\x00b"}, kith.Invalid, "no title"},
		{[]string{"get", "kith:" + strings.Repeat("a", 5000)}, kith.Invalid, "bytes"},
		{[]string{"get", "nothing"}, kith.NotFound, "kith library"},
		{[]string{"get", "/"}, kith.NotFound, "kith library"},
		{[]string{"get", "elm/notes.txt"}, kith.NotFound, "kith library"},
		{[]string{"get", "notes.txt"}, kith.Invalid, "maple/notes.txt or oak/notes.txt; say which"},
		{[]string{"get", "taken.txt"}, kith.Exists, "--replace"},
		{[]string{"get", "taken.txt", "-o", "no/such/place"}, kith.NotFound, "no folder"},
		{[]string{"get", "taken.txt", "-o", "new/"}, kith.NotFound, "no folder"},
		{[]string{"get", unknown, "--follow"}, kith.Invalid, "follow a title"},
		{[]string{"share stop", "nothing"}, kith.NotFound, "kith share list"},
		{[]string{"share stop", "oak/notes.txt"}, kith.NotFound, "kith share list"},
		{[]string{"share pin", unknown}, kith.NotFound, ""},
		{[]string{"share verify", "kith:x"}, kith.Invalid, "52 letters"},
	} {
		_, _, err := f.Run(t.Context(), f.dir, test.line[0], test.line[1:]...)
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("kith %.80q: %v; want %v, and %q", test.line, err, test.kind, test.says)
		}
	}
	if got := read(t, filepath.Join(f.dir, "taken.txt")); got != "mine" {
		t.Errorf("what was there became %q", got)
	}
	if n := len(f.swarm.Holdings()); n != 1 {
		t.Errorf("what was refused left something behind: %d holdings", n)
	}
}

// FuzzNames has any words name content: none does harm, and what can be a title
// is one thing.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "notes.txt", "oak/notes.txt", "kith:", "magnet:?xt=urn:btmh:1220", "magnet:%zz", "a\x00", "../..", ". 00000", "a\u00a0.", "CON.txt", strings.Repeat("é", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		link, ok, err := parseLink(word)
		if ok && (err != nil || link.Content.IsZero() && !strings.Contains(word, strings.Repeat("a", 52)) && !strings.Contains(word, strings.Repeat("0", 64))) {
			t.Errorf("%q is link %v, %v", word, link, err)
		}
		if ok && word != "" && checkTitle(word) == nil {
			t.Errorf("%q is a link and a title", word)
		}
		name := fileName(word)
		if name != "" && (filepath.Base(name) != name || !filepath.IsLocal(name) || strings.HasPrefix(name, ".") || len(name) > 201 || fileName(name) != name) {
			t.Errorf("%q becomes file %q, then %q", word, name, fileName(name))
		}
	})
}

func TestFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	for _, want := range []string{"a.txt", "a (2).txt", "a (3).txt"} {
		got := free(path)
		if filepath.Base(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
		if err := os.WriteFile(got, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
