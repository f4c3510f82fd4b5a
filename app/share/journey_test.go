package share

import (
	"maps"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/browser"
)

// serve runs the dashboard on a free loopback port and returns its address.
func (f *fixture) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(f.dashboard())
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // open streams
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// TestInBrowser walks through the screens as a person does. One browser serves
// all journeys; each has a host of its own.
func TestInBrowser(t *testing.T) {
	b := browser.Open(t, nil)
	for _, journey := range []struct {
		name string
		walk func(*testing.T, *browser.Tab)
	}{
		{"every page has room", everyPage},
		{"choose files", chooseFiles},
		{"drop a file", dropFile},
		{"get in one click", getInBrowser},
		{"without JavaScript", withoutJavaScript},
	} {
		t.Run(journey.name, func(t *testing.T) {
			b := b.For(t)
			heard := len(b.Messages())
			journey.walk(t, b)
			b.Load("about:blank") // its dashboard ends now
			for _, m := range b.Messages()[heard:] {
				t.Errorf("console: %s", m)
			}
		})
	}
}

// No page is wider than the window, whatever is on it.
func everyPage(t *testing.T, b *browser.Tab) {
	for name, fill := range map[string]func(*testing.T, *fixture) map[string]string{"empty": fillNone, "real": fillReal, "much": fillMuch} {
		f := start(t)
		paths := fill(t, f)
		address := f.serve(t)
		for _, page := range slices.Sorted(maps.Keys(paths)) {
			for _, width := range []int{360, 1440} {
				b.Look(width, 900, "light")
				b.Load(address + paths[page])
				if wide := browser.Evaluate[int](b, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("%s, %s: %d pixels wide in a window of %d", page, name, wide, width)
				}
			}
		}
		b.Load("about:blank")
	}
}

// chooseFiles shares two, one of which needs several slices.
func chooseFiles(t *testing.T, b *browser.Tab) {
	f := start(t)
	large := strings.Repeat("0123456789abcdef", 20<<16)
	files := []string{f.write(t, "film.mp4", large), f.write(t, "notes & <b>.txt", "hello")}
	b.Load(f.serve(t) + "/share/new")
	b.Do(chromedp.SetUploadFiles("#f-files", files))
	b.Await(`document.querySelectorAll("#uploads a").length === 2`)
	shared := filepath.Join(f.home, "kith", "shared")
	if read(t, filepath.Join(shared, "film.mp4")) != large {
		t.Error("the film differs")
	}
	if got := read(t, filepath.Join(shared, "notes & _b_.txt")); got != "hello" {
		t.Errorf("the notes are %q", got)
	}
	if n := len(f.swarm.Library()); n != 2 {
		t.Errorf("%d are in the library", n)
	}
}

func dropFile(t *testing.T, b *browser.Tab) {
	f := start(t)
	b.Load(f.serve(t) + "/share/")
	browser.Evaluate[bool](b, `(() => {
		const transfer = new DataTransfer();
		transfer.items.add(new File(["dropped"], "note.txt"));
		document.querySelector("h1").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
		return true;
	})()`)
	b.See("#live-facts") // of the share's page
	if text := b.Text("main"); !strings.Contains(text, "note.txt") || !strings.Contains(text, "7 bytes, shared by this computer.") {
		t.Errorf("the page says %s", text)
	}
}

func getInBrowser(t *testing.T, b *browser.Tab) {
	f := start(t)
	e := f.swarm.Offer(kith.Entry{Host: oak, Title: "Holiday", Name: "holiday.mp4"}, map[string]string{"": "0123456789"})
	f.swarm.Hold()
	b.Load(f.serve(t) + "/share/")
	b.Click(`#live-library button`)
	b.See("#live-share")
	f.swarm.Arrive(e.Content, 4)
	b.Await(`document.querySelector("#live-facts").innerText.includes("taking 40%")`)
	b.Click(`form[action$="/pause"] button`)
	b.See(`form[action$="/resume"]`)
	b.Click(`form[action$="/resume"] button`)
	b.See(`form[action$="/pause"]`)
	f.swarm.Arrive(e.Content, 6)
	b.Await(`document.querySelector("#live-lead").innerText.includes("complete")`)
	if got := read(t, filepath.Join(f.home, "Downloads", "kith", "holiday.mp4")); got != "0123456789" {
		t.Errorf("it is %q", got)
	}
}

func withoutJavaScript(t *testing.T, b *browser.Tab) {
	f := start(t)
	path := f.write(t, "notes.txt", "hello")
	address := f.serve(t)
	b.WithoutScripts()
	b.Load(address + "/share/new")
	b.Do(chromedp.SendKeys("#f-path", path))
	b.Click(`form[action="/share/new"] button`)
	b.See("#live-facts")
	b.Load(address + "/share/")
	b.See(`#live-library a[href^="/share/x/"]`)
}
