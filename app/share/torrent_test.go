package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith"
)

func TestTorrentOutside(t *testing.T) {
	f := start(t)
	f.write(t, "notes.txt", "hello")
	f.write(t, "film.mp4", "film")
	f.must(t, "share", "notes.txt")
	f.must(t, "share", "film.mp4", "--title", "Film")
	const (
		closed  = "Nobody outside of the group gets it, as they are not let in. To let them in: kith share torrent --open lan\n"
		nothing = "Nobody gets anything, as nothing is public. To make something public: kith share torrent TITLE --make-public\n"
		warning = "Warning: anybody who can reach %s and has the torrent's hash gets what is public,\nwithout the group's encryption.\n"
	)
	onLAN, everywhere := fmt.Sprintf(warning, "192.168.1.7:6881"), fmt.Sprintf(warning, "192.168.1.7:6881 or 203.0.113.7:6881")
	for _, test := range []struct {
		line      []string
		out, told string
	}{
		{nil, "Open to  nobody\nPublic   nothing\n", ""},
		{[]string{"--close"}, "Open to  nobody\nPublic   nothing\n", ""},
		{[]string{"notes.txt", "--make-private"}, "Open to  nobody\nPublic   nothing\n", ""},
		{[]string{"Film", "--make-public"}, "Open to  nobody\nPublic   Film\n", closed},
		{[]string{"--open", "lan"}, "Open to  lan, at 192.168.1.7:6881\nPublic   Film\n", onLAN},
		{[]string{"--open", "any"}, "Open to  any, at 192.168.1.7:6881, 203.0.113.7:6881\nPublic   Film\n", everywhere},
		{[]string{"maple/notes.txt", "--make-public", "--open", "192.168.1.7"}, "Open to  192.168.1.7, at 192.168.1.7:6881\nPublic   Film, notes.txt\n", onLAN},
		{[]string{"notes.txt", "--make-private"}, "Open to  192.168.1.7, at 192.168.1.7:6881\nPublic   Film\n", onLAN},
		{[]string{"Film", "--make-private"}, "Open to  192.168.1.7, at 192.168.1.7:6881\nPublic   nothing\n", nothing},
		{[]string{"--close", "Film", "--make-public"}, "Open to  nobody\nPublic   Film\n", closed},
	} {
		if out, told, err := f.Run(t.Context(), f.dir, "share torrent", test.line...); out != test.out || told != test.told || err != nil {
			t.Errorf("%q prints %q and %q, %v", test.line, out, told, err)
		}
	}
	if out, told, err := f.Run(t.Context(), f.dir, "share list"); !strings.Contains(out, "  shared, public  ") || told != closed || err != nil {
		t.Errorf("list: %q, %q, %v", out, told, err)
	}
	if _, told, err := f.Run(t.Context(), f.dir, "share torrent", "Film"); told != "Written: "+filepath.Join(f.dir, "film.mp4.torrent")+"\n"+closed || err != nil {
		t.Errorf("a public file: %q, %v", told, err)
	}
	if _, told, err := f.Run(t.Context(), f.dir, "share torrent", "notes.txt"); told != "Written: "+filepath.Join(f.dir, "notes.txt.torrent")+"\n" || err != nil {
		t.Errorf("a private file: %q, %v", told, err)
	}
	var d Door
	if err := json.Unmarshal([]byte(f.must(t, "share torrent", "--open", "lan", "--json")), &d); err != nil || d.Open != "lan" || len(d.Addresses) != 1 || len(d.Public) != 1 {
		t.Errorf("--json: %+v, %v", d, err)
	}
	for _, test := range []struct {
		line string
		kind kith.Kind
	}{
		{"--open everybody", kith.Invalid}, {"--open 10.9.9.9", kith.NotFound}, {"--open=", kith.Invalid}, {"--open lan --close", kith.Invalid},
		{"--make-public", kith.Invalid}, {"--make-private", kith.Invalid}, {"Film --make-public --make-private", kith.Invalid},
		{"nothing --make-public", kith.NotFound}, {"nothing", kith.NotFound}, {"Film --make-public -o x", kith.Invalid}, {"-o x", kith.Invalid},
	} {
		if out, _, err := f.Run(t.Context(), f.dir, "share torrent", strings.Fields(test.line)...); !errors.Is(err, test.kind) || out != "" {
			t.Errorf("%q: %q, %v", test.line, out, err)
		}
	}
	want := []string{"Film is public: torrent clients outside of the group may take it.", "Torrent clients on other computers are let in (lan)."}
	if events := strings.Join(f.Events(), "\n"); !strings.Contains(events, strings.Join(want, "\n")) || !strings.Contains(events, "Torrent clients on other computers are no longer let in.") {
		t.Errorf("events: %s", events)
	}
}

func TestScreensOutside(t *testing.T) {
	f := start(t)
	f.write(t, "notes.txt", "hello")
	f.must(t, "share", "notes.txt")
	at := sharePage(f.swarm.Library()[0].Content)
	f.page(t, at, http.StatusOK, "For people outside the group", "this computer’s BitTorrent port", "that is nobody", "Make it public")
	if back := f.press(t, at+"/make-public", url.Values{}); back != at {
		t.Errorf("it leads to %s", back)
	}
	f.page(t, at, http.StatusOK, "public, but closed", "Let them in", "Make it private")
	f.page(t, "/share/mine", http.StatusOK, ", public")
	f.page(t, "/share/limits", http.StatusOK, `<option value="" selected>No</option>`, ": now notes.txt.")
	f.press(t, "/share/door", url.Values{"open": {"lan"}})
	f.page(t, "/share/limits", http.StatusOK, `<option value="lan" selected>`, "Now at 192.168.1.7:6881.", "gets notes.txt")
	f.page(t, at, http.StatusOK, "Anybody who can reach 192.168.1.7:6881 and has this torrent’s hash gets these files.")
	f.press(t, "/share/door", url.Values{"open": {"203.0.113.7"}})
	f.page(t, "/share/limits", http.StatusOK, `<option value="203.0.113.7" selected>At 203.0.113.7</option>`)
	f.press(t, at+"/make-private", url.Values{})
	f.page(t, at, http.StatusOK, "Once it is public, anybody who can reach 203.0.113.7:6881")
	f.page(t, "/share/limits", http.StatusOK, "Nothing is public, so nobody gets anything.")
	if back := f.press(t, "/share/door", url.Values{"open": {"10.9.9.9"}}); back != limitsScreen || f.swarm.TorrentDoor().Open != "203.0.113.7" {
		t.Errorf("a wrong address leads to %s, %+v", back, f.swarm.TorrentDoor())
	}
	f.press(t, "/share/door", url.Values{"open": {""}})
	if open := f.swarm.TorrentDoor().Open; open != "" {
		t.Errorf("open to %q", open)
	}
}
