package share

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

func TestGet(t *testing.T) {
	f := start(t)
	film := f.swarm.Offer(kith.Entry{Host: oak, Title: "Holiday 2026", Name: "holiday.mp4"}, map[string]string{"": "film"})
	f.swarm.Offer(kith.Entry{Host: oak, Title: "photos", Name: "photos"}, map[string]string{"a.jpg": "aaa", "b/c.jpg": "ccc"})
	f.swarm.Offer(kith.Entry{Host: oak, Title: "notes", Name: "notes.txt"}, map[string]string{"": "oak's"})
	f.swarm.Offer(kith.Entry{Host: elm, Title: "notes", Name: "notes.txt"}, map[string]string{"": "elm's"})
	if err := os.Mkdir(filepath.Join(f.dir, "films"), 0o700); err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct{ what, out, want, file, text string }{
		{"Holiday 2026", "", "holiday.mp4", "holiday.mp4", "film"},
		{"Holiday 2026", "films", "films/holiday.mp4", "films/holiday.mp4", "film"},
		{"oak/Holiday 2026", "films/", "films/holiday.mp4", "films/holiday.mp4", "film"}, // it is there
		{kith.Link{Content: film.Content, Name: "x"}.String(), "new.mp4", "new.mp4", "new.mp4", "film"},
		{"photos", "", "photos", "photos/b/c.jpg", "ccc"},
		{"photos", "pictures", "pictures", "pictures/a.jpg", "aaa"},
		{"photos", "pictures", "pictures", "pictures/b/c.jpg", "ccc"}, // it is there, though it was put elsewhere first
		{"photos", "", "photos", "photos/b/c.jpg", "ccc"},
		{"oak/notes", "", "notes.txt", "notes.txt", "oak's"},
	} {
		args := []string{test.what}
		if test.out != "" {
			args = append(args, "-o", test.out)
		}
		if got := f.must(t, "get", args...); got != filepath.Join(f.dir, test.want)+"\n" {
			t.Errorf("get %q prints %q", args, got)
		}
		if got := read(t, filepath.Join(f.dir, test.file)); got != test.text {
			t.Errorf("get %q makes %q", args, got)
		}
	}
	var share Share
	if err := json.Unmarshal([]byte(f.must(t, "get", "photos", "-o", "json", "--json")), &share); err != nil || share.From != "oak" || share.State != kith.HoldingComplete || share.Path != filepath.Join(f.dir, "json") {
		t.Errorf("--json: %+v, %v", share, err)
	}
	if out := f.must(t, "share stop", "photos"); out != "photos is no longer given to others. It stays at "+filepath.Join(f.dir, "json")+".\n" {
		t.Errorf("stop prints %q", out)
	}

	// What somebody changed is not it any more, and is only replaced if it may be.
	if err := os.WriteFile(filepath.Join(f.dir, "notes.txt"), []byte("OAK'S"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Run(t.Context(), f.dir, "get", "oak/notes"); !errors.Is(err, kith.Exists) {
		t.Errorf("over what was changed: %v", err)
	}
	f.must(t, "get", "oak/notes", "--replace")
	if got := read(t, filepath.Join(f.dir, "notes.txt")); got != "oak's" {
		t.Errorf("replaced it is %q", got)
	}

	// What was deleted is made again.
	if err := os.Remove(filepath.Join(f.dir, "notes.txt")); err != nil {
		t.Fatal(err)
	}
	f.must(t, "get", "oak/notes")
	if got := read(t, filepath.Join(f.dir, "notes.txt")); got != "oak's" {
		t.Errorf("made again it is %q", got)
	}

	// Another version takes the place of what stands there if it may.
	f.swarm.Offer(kith.Entry{Host: oak, Title: "notes", Name: "notes.txt"}, map[string]string{"": "oak's, newer"})
	if _, _, err := f.Run(t.Context(), f.dir, "get", "oak/notes"); !errors.Is(err, kith.Exists) {
		t.Errorf("over an older version: %v", err)
	}
	f.must(t, "get", "oak/notes", "--replace")
	if got := read(t, filepath.Join(f.dir, "notes.txt")); got != "oak's, newer" {
		t.Errorf("--replace leaves %q", got)
	}
}

// TestGetBareLink has the name of a link without hints come with the content.
func TestGetBareLink(t *testing.T) {
	f := start(t)
	e := f.swarm.Offer(kith.Entry{Host: oak, Title: "/", Name: "hidden.txt", Kind: kith.EntrySite}, map[string]string{"": "text"})
	if got := f.must(t, "get", kith.Link{Content: e.Content}.String()); got != filepath.Join(f.dir, "hidden.txt")+"\n" {
		t.Errorf("it prints %q", got)
	}
}

// TestGetInterrupted pauses, and goes on later.
func TestGetInterrupted(t *testing.T) {
	f := start(t)
	e := f.swarm.Offer(kith.Entry{Host: oak, Title: "film", Name: "film.mp4"}, map[string]string{"": "0123456789"})
	f.swarm.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f.await(e, kith.HoldingAsking)
		f.swarm.Arrive(e.Content, 4)
		cancel()
	}()
	if _, _, err := f.Run(ctx, f.dir, "get", "film"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "film is paused at ") {
		t.Errorf("interrupted: %v", err)
	}
	if state := f.state(e); state != kith.HoldingPaused {
		t.Errorf("it is %s", state)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "film.mp4")); err == nil {
		t.Error("half a file has the name of the whole")
	}
	go func() {
		f.await(e, kith.HoldingTaking)
		f.swarm.Arrive(e.Content, 6)
	}()
	f.must(t, "get", "film")
	if got := read(t, filepath.Join(f.dir, "film.mp4")); got != "0123456789" {
		t.Errorf("it is %q", got)
	}
}

// TestGetFails tells why something does not go on.
func TestGetFails(t *testing.T) {
	f := start(t)
	e := f.swarm.Offer(kith.Entry{Host: oak, Title: "film", Name: "film.mp4"}, map[string]string{"": "0123456789"})
	f.swarm.Hold()
	for _, reason := range []string{"The disk is full.", ""} {
		go func() {
			f.await(e, kith.HoldingAsking, kith.HoldingTaking)
			f.swarm.Arrive(e.Content, 1)
			f.swarm.Set(e.Content, func(h *kith.Holding) { h.State, h.Reason = kith.HoldingPaused, reason })
		}()
		if _, _, err := f.Run(t.Context(), f.dir, "get", "film"); !errors.Is(err, kith.Temporary) || !strings.Contains(err.Error(), "paused") || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v", reason, err)
		}
	}
}

// await waits until a holding is in one of the states.
func (f *fixture) await(e kith.Entry, states ...string) {
	for {
		changed := f.swarm.Changed()
		if slices.Contains(states, f.state(e)) {
			return
		}
		<-changed
	}
}

func (f *fixture) state(e kith.Entry) string {
	h, _ := f.swarm.Holding(e.Content)
	return h.State
}

func TestTexts(t *testing.T) {
	asking := Share{Title: "film", Holding: kith.Holding{State: kith.HoldingAsking}}
	waiting := asking
	waiting.Reason = "Nobody who has it is awake."
	taking := Share{Title: "film", Holding: kith.Holding{State: kith.HoldingTaking, Files: 1, Size: 1000, Have: 420, Down: 1 << 20, Left: 65 * time.Second}}
	taking.Peers = []Client{{Taker: kith.Taker{Down: 5}}, {Taker: kith.Taker{Down: 1 << 20}}, {}}
	stalled := taking
	stalled.Down = 0
	long := taking
	long.Title = "a title that is much longer than there is room for"
	for want, share := range map[string]Share{
		"film  asking for it":                                                          asking,
		"film  Nobody who has it is awake.":                                            waiting,
		"film [########............]  42%  waiting":                                    stalled,
		"film [########............]  42% 1.0 MiB/s from 2  1:05 left":                 taking,
		"a title that is muc… [########............]  42% 1.0 MiB/s from 2  1:05 left": long,
	} {
		if got := getText(share); got != want || len([]rune(got)) > 79 {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, want := workText("reading", Progress{Done: 1 << 20, Total: 4 << 20}, 2*time.Second), "reading [#######.......................]  25%  512.0 KiB/s  0:06 left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := clock(3723 * time.Second); got != "1:02:03" {
		t.Errorf("%q", got)
	}
}

// TestAPI asks what commands do not: how far work is, and a share that changes.
func TestAPI(t *testing.T) {
	f := start(t)
	e := f.swarm.Offer(kith.Entry{Host: oak, Title: "film", Name: "film.mp4"}, map[string]string{"": "0123456789"})
	f.swarm.Hold()
	var share Share
	if err := f.Ask(t.Context(), "POST", "/take", takeRequest{What: "film", To: f.dir}, &share); err != nil || share.State != kith.HoldingAsking {
		t.Fatalf("take: %+v, %v", share, err)
	}
	f.swarm.Arrive(e.Content, 5)
	f.swarm.Set(e.Content, func(h *kith.Holding) {
		h.Peers = []kith.Taker{{Host: oak, Down: 7}, {Host: elm}, {Client: "aria2/1.37"}, {}}
	})
	if err := f.Ask(t.Context(), "GET", "/shares/"+e.Content.String(), nil, &share); err != nil || share.Have != 5 || share.Own {
		t.Errorf("share: %+v, %v", share, err)
	}
	var names []string
	for _, p := range share.Peers {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "oak "+elm.Short()+" aria2/1.37 a torrent client" {
		t.Errorf("peers: %s", got)
	}
	go func() { f.swarm.Arrive(e.Content, 5) }()
	if err := f.Ask(t.Context(), "GET", "/shares/"+e.Content.String()+"?state=taking&wait=30000", nil, &share); err != nil || share.State != kith.HoldingComplete {
		t.Errorf("share: %+v, %v", share, err)
	}
	if err := f.Ask(t.Context(), "GET", "/shares/nonsense", nil, &share); !errors.Is(err, kith.Invalid) {
		t.Errorf("no ID: %v", err)
	}
	var p Progress
	if err := f.Ask(t.Context(), "GET", "/work/unknown", nil, &p); err != nil || p != (Progress{}) {
		t.Errorf("work: %+v, %v", p, err)
	}
}

func TestWorks(t *testing.T) {
	var w works
	progress, end := w.begin("a")
	progress(1, 2)
	if got := w.progress("a"); got != (Progress{1, 2}) {
		t.Errorf("%+v", got)
	}
	end()
	for range 2 * maxWorks {
		w.begin(time.Now().String() + strings.Repeat("x", len(w.byWord)%50))
	}
	if len(w.byWord) > maxWorks || w.progress("a") != (Progress{}) {
		t.Errorf("%d are kept", len(w.byWord))
	}
	w.begin("")
}
