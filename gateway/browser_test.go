package gateway

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
)

//go:embed testdata/hostile.html
var hostilePage string

//go:embed testdata/own.html
var ownPage string

// TestBrowser has Chromium, configured by the PAC file, open a page that tries
// to reach a member's site and the dashboard in every way, and then links to a
// site that uses itself. The page is one of the Internet, and then another
// member's.
func TestBrowser(t *testing.T) {
	chromium := require.Tool(t, "chromium")
	attacks, done := make(chan string, 1000), make(chan string, 1)
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/attack":
			attacks <- fmt.Sprint(r.Method, " ", r.Host, r.URL, " ", r.Header)
		case "/own":
			w.Header().Set("Content-Type", "text/html")
			w.Header().Add("Set-Cookie", "mine=1; Domain=home.kith.alt; Secure; Path=/")
			w.Header().Add("Set-Cookie", "theirs=1; Domain=localhost; Path=/")
			w.Header().Add("Set-Cookie", "kith_session=forged; Path=/")
			io.WriteString(w, ownPage)
		case "/image.svg":
			w.Header().Set("Content-Type", "image/svg+xml")
			io.WriteString(w, `<svg xmlns="http://www.w3.org/2000/svg"/>`)
		case "/post":
			io.WriteString(w, r.Method+" by "+r.Header.Get("Origin"))
		case "/socket":
			echoSocket(w, r)
		case "/done":
			text, _ := io.ReadAll(r.Body)
			done <- string(text) + " and sends " + r.Header.Get("Cookie")
		}
	})
	g := newGroup()
	g.site(t, "maple", 80, site)
	r := start(t, g, site)
	targets, _ := json.Marshal([]string{r.origin("maple"), origin("localhost", r.webPort), "http://maple.home.kith.alt"})
	page := strings.NewReplacer("TARGETS", string(targets), "AFTER", "http://maple.home.kith.alt/own").Replace(hostilePage)
	hostile := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, page)
	})
	internet := httptest.NewServer(hostile)
	defer internet.Close()
	g.site(t, "oak", 80, hostile)
	for _, address := range []string{internet.URL, r.origin("oak")} {
		before := r.crossSites.Value()
		browse(t, chromium, address, r, func() {
			select {
			case got := <-done:
				want := r.origin("maple") + " POST by http://maple.home.kith.alt image frame socket mine=1; theirs=1 and sends mine=1; theirs=1"
				if got != want {
					t.Errorf("the site used itself as\n%s, want\n%s", got, want)
				}
			case <-time.After(time.Minute):
				t.Error("the browser did not arrive at the site")
			}
		})
		for len(attacks) > 0 {
			t.Errorf("from %s: %s", address, <-attacks)
		}
		if n := r.crossSites.Value() - before; n < 50 {
			t.Errorf("from %s: %d requests refused: the page did not try", address, n)
		}
	}
}

// browse runs a Chromium that opens address, while do runs.
func browse(t *testing.T, chromium, address string, r *running, do func()) {
	t.Helper()
	ctx, quit := context.WithCancel(t.Context())
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-port=0",
		fmt.Sprintf("--proxy-pac-url=http://localhost:%d/proxy.pac", r.proxyPort), address)
	browser.Cancel = func() error { return browser.Process.Signal(os.Interrupt) } // its children go first, and write no more
	browser.WaitDelay = 5 * time.Second
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer browser.Wait()
	defer quit()
	do()
}
