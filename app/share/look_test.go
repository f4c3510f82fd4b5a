package share

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/browser"
)

var (
	screens = flag.String("screens", "", "write screenshots of all pages into this `directory`")
	only    = flag.String("only", "", "write those of this page only")
)

// TestScreenshots writes a picture of every page, in three widths, light and dark, for a
// library that is empty, real, and too much, into the directory that -screens names.
func TestScreenshots(t *testing.T) {
	if *screens == "" {
		return // nobody wants pictures
	}
	if err := os.MkdirAll(*screens, 0o700); err != nil {
		t.Fatal(err)
	}
	b := browser.Open(t, nil)
	for name, fill := range map[string]func(*testing.T, *fixture) map[string]string{"empty": fillNone, "real": fillReal, "much": fillMuch} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			paths := fill(t, f)
			server := httptest.NewServer(f.dashboard())
			defer server.Close()
			defer server.CloseClientConnections() // open streams
			b := b.For(t)
			for _, page := range slices.Sorted(maps.Keys(paths)) {
				if *only != "" && *only != page {
					continue
				}
				for _, width := range []int{360, 768, 1440} {
					for _, scheme := range []string{"light", "dark"} {
						b.Look(width, 900, scheme)
						b.Load(strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + paths[page])
						file := filepath.Join(*screens, fmt.Sprintf("%s-%s-%d-%s.png", page, name, width, scheme))
						if err := os.WriteFile(file, browser.Get(b, chromedp.FullScreenshot(100)), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			b.Load("about:blank") // its stream ends before the server does
			if said := b.Messages(); len(said) > 0 {
				t.Errorf("the pages say %q", said)
			}
		})
	}
}

func fillNone(*testing.T, *fixture) map[string]string {
	return map[string]string{"library": "/share/", "mine": "/share/mine", "limits": "/share/limits", "new": "/share/new"}
}

// fillReal is a household in the middle of something.
func fillReal(t *testing.T, f *fixture) map[string]string {
	elm, birch := f.Admit("elm", true), f.Admit("birch", false)
	f.write(t, "recipes/soup.txt", strings.Repeat("x", 5000))
	f.write(t, "recipes/bread.txt", strings.Repeat("y", 7000))
	f.write(t, "holiday.jpg", strings.Repeat("z", 90_000))
	f.must(t, "share", "recipes", "--title", "Grandmother's recipes")
	f.must(t, "share", "holiday.jpg")
	f.swarm.Offer(kith.Entry{Host: elm, Title: "Debian 13 for the old laptops", Name: "debian.iso", Published: time.Now().Add(-50 * time.Hour)}, map[string]string{"": strings.Repeat("d", 700_000)})
	film := f.swarm.Offer(kith.Entry{Host: oak, Title: "Holiday film 2026", Name: "holiday.mp4", Published: time.Now().Add(-5 * time.Hour)}, map[string]string{"": strings.Repeat("f", 1_400_000)})
	f.swarm.Offer(kith.Entry{Host: birch, Title: "Scans of the letters", Name: "letters", Published: time.Now().Add(-800 * time.Hour)}, map[string]string{"1.pdf": strings.Repeat("l", 40_000), "2.pdf": strings.Repeat("m", 40_000)})
	site := f.swarm.Offer(kith.Entry{Host: elm, Title: "/", Name: "site", Kind: kith.EntrySite}, map[string]string{"index.html": strings.Repeat("s", 30_000)})
	if _, err := f.swarm.Take(t.Context(), kith.Taking{Content: site.Content, Entry: site}); err != nil {
		t.Fatal(err)
	}
	f.swarm.Hold()
	at := f.press(t, "/share/get", map[string][]string{"what": {"Holiday film 2026"}})
	f.swarm.Arrive(film.Content, 800_000)
	f.swarm.Set(film.Content, func(h *kith.Holding) {
		h.Size, h.Have, h.Down, h.Up, h.Received, h.Sent, h.Left = 1_400<<20, 800<<20, 9.4e6, 3.1e6, 800<<20, 310<<20, 71*time.Second
		h.Parts = parts(0.57, 3)
		h.Peers = []kith.Taker{
			{Host: oak, Near: true, Have: 1, Parts: parts(1, 1), Down: 6.2e6},
			{Host: elm, Have: 0.48, Parts: parts(0.48, 5), Down: 3.2e6, Up: 2.4e6},
			{Host: birch, Have: 0.2, Parts: parts(0.2, 9), Up: 0.7e6},
			{Client: "qBittorrent/5.1", Near: true, Have: 0.03, Parts: parts(0.03, 11)},
		}
	})
	f.draw(film.Content)
	f.swarm.Contribute(kith.Contribution{Host: oak, Received: 1600 << 20, Sent: 4 << 20}, kith.Contribution{Host: elm, Received: 240 << 20, Sent: 700 << 20}, kith.Contribution{Host: birch, Sent: 64 << 20})
	own := f.swarm.Library()
	mine := own[slices.IndexFunc(own, func(e kith.Entry) bool { return e.Host == maple })]
	f.press(t, sharePage(mine.Content)+"/pin", map[string][]string{})
	f.must(t, "share torrent", mine.Title, "--make-public")
	f.must(t, "share torrent", "--open", "lan")
	return map[string]string{"library": "/share/", "mine": "/share/mine", "limits": "/share/limits", "share": at, "own": sharePage(mine.Content),
		"other": sharePage(own[0].Content)}
}

// draw has a content's curve go up and down.
func (f *fixture) draw(id kith.ContentID) {
	for i := range samples {
		x := float64(i)
		f.app.rates.add([]kith.Holding{{Content: id, Down: 7e6 + 3e6*math.Sin(x/8) + 1e6*math.Sin(x*1.7), Up: 3e6 * (1 - math.Exp(-x/30)) * (1 + 0.2*math.Sin(x/3))}})
	}
}

// parts has so much of everything, in runs.
func parts(have float64, run int) []byte {
	list := make([]byte, kith.MaxParts)
	for i := range list {
		switch at := float64((i*37/run)%100) / 100; {
		case at < have-0.05 || have == 1:
			list[i] = 255
		case at < have:
			list[i] = 120
		}
	}
	return list
}

// fillMuch has long names, many of everything, and no luck.
func fillMuch(t *testing.T, f *fixture) map[string]string {
	var members []kith.ID
	for i := range 60 {
		members = append(members, f.Admit(fmt.Sprintf("the-old-laptop-in-the-kitchen-next-to-the-window-%d", i), i%3 == 0))
	}
	long := strings.Repeat("Everything that we ever photographed together ", 4)
	var last kith.Entry
	for i := range 400 {
		last = f.swarm.Offer(kith.Entry{Host: members[i%60], Title: fmt.Sprintf("%s%d", long[:40+i%140], i), Name: "x"}, map[string]string{"": strings.Repeat("x", 1+i*i), "y": "z"})
	}
	f.swarm.Hold()
	for i := range 30 {
		f.write(t, fmt.Sprintf("mine/%d.txt", i), fmt.Sprint(i))
		f.must(t, "share", fmt.Sprintf("mine/%d.txt", i), "--title", fmt.Sprintf("%s %d", strings.TrimSpace(long[:90]), i))
	}
	at := f.press(t, "/share/get", map[string][]string{"what": {last.Title}})
	f.swarm.Arrive(last.Content, 4)
	f.swarm.Set(last.Content, func(h *kith.Holding) {
		h.State, h.Reason, h.Parts = kith.HoldingPaused, "The disk is full: 1.2 GiB more are needed on the disk that holds your folder for downloads. Make room, and let it go on.", parts(0.5, 2)
		h.Files = 12345
		for i, id := range members {
			h.Peers = append(h.Peers, kith.Taker{Host: id, Near: i%2 == 0, Have: float64(i) / 60, Parts: parts(float64(i)/60, 1+i%7), Down: float64(i%4) * 1e6, Up: float64(i%3) * 3e5})
		}
	})
	var list []kith.Contribution
	for i, id := range members {
		list = append(list, kith.Contribution{Host: id, Received: int64(i) << 30, Sent: int64(60-i) << 28})
	}
	f.swarm.Contribute(list...)
	limits := kith.SwarmLimits{Up: 1_234_567, Copies: 500 << 30}
	for i := range 7 {
		limits.Hours = append(limits.Hours, kith.RateHours{Days: []string{"", "mon,wed,fri", "sat,sun"}[i%3], From: "08:00", To: "18:30", Up: 100_000, Down: 5 << 20})
	}
	if err := f.swarm.SetLimits(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"library": "/share/", "mine": "/share/mine", "limits": "/share/limits", "share": at}
}
