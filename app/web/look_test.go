package web

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/browser"
	"kith.alt/kith/ui"
)

var screens = flag.String("screens", "", "write screenshots of copies and of the page of copies into this `directory`")

// served shows what the gateway does once oak does not answer, and the
// dashboard below /web/.
func (f *fixture) served(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/web"); ok {
			frame := ui.Frame{Host: "maple", Group: "home", Awake: 1, Members: 2, Account: "ada", CSRF: "token", Rail: []ui.Entry{{Href: "/web/", Title: "Web", Icon: "globe"}}}
			r = r.WithContext(ui.WithFrame(r.Context(), frame))
			r.URL.Path = rest
			f.Service.Screens[0].Handler.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, ui.AssetPath) {
			ui.Assets().ServeHTTP(w, r)
			return
		}
		handler, _ := f.Service.Copies.Copy(oakID, r.URL.Path)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// A page that goes to some lengths to be left alone, and one that does not.
const (
	strictPage = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'">
<title>Strict</title><link rel="stylesheet" href="own.css"><script src="own.js" defer></script></head><body><main><h1>Oak's garden</h1></main></body></html>`
	ownStyle  = `html::after { content: "mine" !important; display: none !important } * { all: unset } main { display: block; height: 2000px }`
	ownScript = `fetch("part.html").then(r => r.text()).then(text => {
	document.body.dataset.seen = [document.body.children.length, document.querySelectorAll("body *").length, document.compatMode, document.documentElement.lang, text.trim()].join(" ");
});`
	plainPage = `<!doctype html><meta name="viewport" content="width=device-width"><title>Oak</title>
<h1>Oak's garden</h1><p>The beans are up. <a href="beans.html">More about beans</a>, and what the slugs left of the lettuce.</p>`
)

// TestMarkInBrowser has Chromium show the mark, and the page be as it was.
func TestMarkInBrowser(t *testing.T) {
	b := browser.Open(t, nil)
	f, w := startInWorld(t)
	w.take(t, w.offer("/", "index.html", strictPage, "own.css", ownStyle, "own.js", ownScript, "part.html", "<i>part</i>", "plain/index.html", plainPage))
	address := f.served(t)
	b.Load(address + "/")
	b.Await("document.body.dataset.seen")
	if got, want := browser.Evaluate[string](b, "document.body.dataset.seen"), "1 2 CSS1Compat en <i>part</i>"; got != want {
		t.Errorf("the page sees %q, want %q", got, want)
	}
	mark := browser.Evaluate[string](b, `(s => [s.content, s.position, s.display, s.pointerEvents].join(" "))(getComputedStyle(document.documentElement, "::after"))`)
	if !strings.HasPrefix(mark, `"Oak is asleep. This copy is from `) || !strings.HasSuffix(mark, ` kept by maple." fixed block none`) {
		t.Errorf("the mark is %s", mark)
	}
	if said := b.Messages(); len(said) > 0 {
		t.Errorf("the page says %q", said)
	}
}

// TestScreenshots writes pictures of a copy and of the dashboard's page, in
// three widths, light and dark, into the directory that -screens names.
func TestScreenshots(t *testing.T) {
	if *screens == "" {
		return // nobody wants pictures
	}
	if err := os.MkdirAll(*screens, 0o700); err != nil {
		t.Fatal(err)
	}
	b := browser.Open(t, nil)
	empty, _ := startInWorld(t)
	f, w := startInWorld(t)
	w.take(t, w.offer("/", "index.html", plainPage, "photos/a.jpg", "1", "photos/b.jpg", "2"))
	w.swarm.Hold()
	w.take(t, w.offer("/docs", "a.txt", strings.Repeat("x", 5000)))
	w.swarm.Arrive(w.swarm.Holdings()[0].Content, 2000)
	f.must(t, folder(t, "a", "x"), "publish", ".")
	f.must(t, folder(t, "a", "x"), "publish", ".", "--at", "/quiet", "--no-copies")
	f.Service.Copies.(*copies).refused[siteKey{kith.ID{2}, "/films"}] = "films has 9.1 GiB, more than the copies of a member may have here."
	w.offer("/films", "a", "x")
	until(t, "it is shared", func() bool { return overview(t, f).Sites[0].Copies == copiesAllowed })
	full := f.served(t)
	for name, address := range map[string]string{"copy": full + "/", "listing": full + "/photos/", "missing": full + "/photos/none",
		"web": full + "/web/", "publish": full + "/web/publish", "web-empty": empty.served(t) + "/web/"} {
		for _, width := range []int{360, 768, 1440} {
			for _, scheme := range []string{"light", "dark"} {
				b.Look(width, 900, scheme)
				b.Load(address)
				picture := browser.Get(b, chromedp.CaptureScreenshot())
				if strings.HasPrefix(name, "web") {
					picture = browser.Get(b, chromedp.FullScreenshot(100))
				}
				file := filepath.Join(*screens, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
				if err := os.WriteFile(file, picture, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
