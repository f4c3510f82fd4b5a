package test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
	"kith.alt/kith/kithtest/browser"
	"kith.alt/kith/kithtest/require"
)

// kithOn runs a verb on a node of a mesh, as a person would.
func kithOn(t *testing.T, n *kithtest.Node, args ...string) string {
	t.Helper()
	out, err := exec.Command("kith", append([]string{"--data", n.Config.Data}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kith %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// siteOf is where a browser on n's computer reads the site of host.
func siteOf(t *testing.T, n *kithtest.Node, host string) string {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Members {
		if m.Host == host {
			return m.Site
		}
	}
	t.Fatalf("no member %s", host)
	return ""
}

func listener(t *testing.T, n *kithtest.Node, protocol string) string {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(status.Listeners, func(l control.Listener) bool { return l.Protocol == protocol && l.App == "gateway" })
	if i < 0 {
		t.Fatalf("no listener for %s", protocol)
	}
	return status.Listeners[i].Address
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBrowser reads a published site in an unmodified Chromium on another
// member's computer, by the gateway with no set-up and by the proxy, byte for
// byte as curl gets it and as it is on disk.
func TestBrowser(t *testing.T) {
	require.Tool(t, "curl")
	m := kithtest.New(t, "maple", "oak")
	site := t.TempDir()
	body := make([]byte, 300<<10)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	write(t, filepath.Join(site, "data.bin"), string(body))
	write(t, filepath.Join(site, "index.html"), `<!doctype html><title>Maple</title><p id=p>The garden.</p><script src=load.js></script>`)
	write(t, filepath.Join(site, "load.js"), `
fetch("data.bin").then(r => r.arrayBuffer()).then(async b => {
	const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", b));
	window.sum = Array.from(sum, x => x.toString(16).padStart(2, "0")).join("");
});`)
	kithOn(t, m.Nodes[0], "publish", site)
	sum := sha256.Sum256(body)
	want := hex.EncodeToString(sum[:])
	address, proxy := siteOf(t, m.Nodes[1], "maple"), listener(t, m.Nodes[1], "proxy")

	for _, args := range [][]string{
		{address + "data.bin"},
		{"--proxy", "socks5h://" + proxy, "http://maple/data.bin"},
		{"--proxy", "http://" + proxy, "http://maple.home.kith.alt/data.bin"},
	} {
		out, err := exec.Command("curl", append([]string{"-sS", "--fail", "--max-time", "20"}, args...)...).Output()
		if err != nil {
			t.Errorf("curl %v: %v", args, err)
		} else if got := sha256.Sum256(out); got != sum {
			t.Errorf("curl %v: other bytes", args)
		}
	}
	for name, visit := range map[string]struct {
		flags   map[string]string
		address string
	}{
		"gateway": {nil, address},
		"pac":     {map[string]string{"proxy-pac-url": "http://" + proxy + "/proxy.pac"}, "http://maple.home.kith.alt/"},
		"proxy":   {map[string]string{"proxy-server": proxy}, "http://maple.home.kith.alt/"},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Open(t, visit.flags)
			tab.Load(visit.address)
			tab.Await(`window.sum`)
			if got := browser.Evaluate[string](tab, `window.sum`); got != want {
				t.Errorf("%s has SHA-256 %s, want %s", visit.address, got, want)
			}
			// However it came, the page is at the gateway's origin: each site
			// apart from the others, and a secure context.
			if got := browser.Evaluate[string](tab, `location.origin + "/"`); got != address {
				t.Errorf("%s is shown at %s, want %s", visit.address, got, address)
			}
		})
	}
}

// hostile is a page that tries what a foreign page must not do. It notes what
// worked.
const hostile = `<!doctype html><title>Hostile</title><body><script type=module>
const target = new URLSearchParams(location.search).get("target");
const won = [];
const attempt = async (name, f) => { try { if (await f()) won.push(name); } catch (e) {} };
await attempt("fetch", async () => (await fetch(target, {credentials: "include"})).ok);
await attempt("post", async () => (await fetch(target + "post", {method: "POST", body: "x=1", credentials: "include"})).ok);
await attempt("blind post", async () => { await fetch(target + "post", {method: "POST", mode: "no-cors", body: "x=1", credentials: "include"}); return false; });
await attempt("blind get", async () => { await fetch(target + "blind", {mode: "no-cors", credentials: "include"}); return false; });
await attempt("delete", async () => (await fetch(target, {method: "DELETE"})).ok);
const element = (name, tag, attributes) => attempt(name, () => new Promise(done => {
	const e = document.createElement(tag);
	e.onload = () => done(tag != "iframe");
	e.onerror = () => done(false);
	setTimeout(() => done(false), 2000);
	Object.assign(e, attributes);
	document.body.append(e);
}));
await element("image", "img", {src: target + "image.svg"});
await element("script", "script", {src: target + "script.js"});
await element("frame", "iframe", {src: target + "frame"});
await attempt("websocket", () => new Promise(done => {
	const socket = new WebSocket(target.replace("http", "ws") + "socket");
	socket.onopen = () => done(true);
	socket.onerror = socket.onclose = () => done(false);
}));
await attempt("cookie", async () => document.cookie.includes("secret"));
const form = document.createElement("form");
form.method = "post"; form.action = target + "form"; form.target = "sink";
const sink = document.createElement("iframe"); sink.name = "sink";
document.body.append(sink, form); form.submit();
setTimeout(() => { window.won = won.join(", ") || "nothing"; }, 1000);
</script>`

// TestHostilePage has a browser on oak's computer show hostile pages, of
// another member and of the Internet, that try to reach maple's site and oak's
// dashboard with what the person may do there. Nothing but following a link
// works.
func TestHostilePage(t *testing.T) {
	m := kithtest.New(t, "maple", "oak", "elm")
	maple, oak, elm := m.Nodes[0], m.Nodes[1], m.Nodes[2]

	// What maple shows: a program that notes every request that reaches it.
	var mu sync.Mutex
	var reached []string
	notes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		reached = append(reached, r.Method+" "+r.URL.Path)
		mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "secret", Value: "maple", Path: "/"})
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>notes</title><p>notes")
	}))
	t.Cleanup(notes.Close)
	_, port, err := net.SplitHostPort(notes.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	kithOn(t, maple, "expose", port, "--to", "7000", "--as", "notes")

	evil := t.TempDir()
	write(t, filepath.Join(evil, "index.html"), hostile)
	kithOn(t, elm, "publish", evil)
	internet := httptest.NewServer(http.FileServer(http.Dir(evil)))
	t.Cleanup(internet.Close)

	status, err := oak.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]string{
		"site":      siteOf(t, oak, "maple") + "notes/",
		"dashboard": status.Dashboard,
	}
	pages := map[string]string{
		"another member": siteOf(t, oak, "elm"),
		"the Internet":   internet.URL + "/",
	}
	tab := browser.Open(t, nil)
	link, err := oak.SignInLink(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	tab.SignIn(link)          // the person is signed in to the dashboard,
	tab.Load(targets["site"]) // and knows the site
	if got := browser.Evaluate[string](tab, `document.title`); got != "notes" {
		t.Fatalf("the site shows %q", got)
	}
	before, err := oak.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, target := range targets {
		for who, page := range pages {
			t.Run(who+" against the "+what, func(t *testing.T) {
				mu.Lock()
				reached = nil
				mu.Unlock()
				tab.Load(page + "?target=" + url.QueryEscape(target))
				tab.Await(`window.won`)
				if won := browser.Evaluate[string](tab, `window.won`); won != "nothing" {
					t.Errorf("the page succeeded with: %s", won)
				}
				mu.Lock()
				defer mu.Unlock()
				if len(reached) > 0 {
					t.Errorf("requests came through: %v", reached)
				}
			})
		}
	}
	after, err := oak.Accounts(t.Context())
	if err != nil || len(after) != len(before) {
		t.Errorf("accounts: %v (%v), before %v", after, err, before)
	}
	// Without kith in between the same page does reach the program: it tries.
	mu.Lock()
	reached = nil
	mu.Unlock()
	tab.Load(pages["the Internet"] + "?target=" + url.QueryEscape(notes.URL+"/"))
	tab.Await(`window.won`)
	mu.Lock()
	if !slices.Contains(reached, "POST /post") || !slices.Contains(reached, "POST /form") {
		t.Errorf("the hostile page reaches nothing where nothing protects: %v", reached)
	}
	mu.Unlock()
	// A link still leads there.
	tab.Load(pages["another member"])
	browser.Evaluate[any](tab, `location.href = `+strconv.Quote(targets["site"]))
	tab.Await(`document.title == "notes"`)
}

// TestForms fills in forms of the dashboard in an unmodified Chromium, through the gateway, which refuses those of
// other origins.
func TestForms(t *testing.T) {
	maple := kithtest.New(t, "maple").Nodes[0]
	kithOn(t, maple, "account", "add", "ann")
	tab := browser.Open(t, nil)
	tab.SignIn(strings.TrimSpace(kithOn(t, maple, "account", "link", "ann")))
	dashboard := browser.Evaluate[string](tab, `location.origin`)

	tab.Load(dashboard + "/settings/accounts")
	tab.Click("form[action='/settings/accounts'] input[name=name]")
	tab.Press("bob")
	tab.Click("form[action='/settings/accounts'] button")
	tab.Await(`document.body.innerText.includes("bob")`)

	tab.Load(dashboard + "/mail/write")
	tab.Click("#f-to")
	tab.Press("ann")
	tab.Click("#f-subject")
	tab.Press("Through the gateway")
	tab.Click("#send")
	tab.Await(`!location.pathname.startsWith("/mail/write")`)
	tab.Load(dashboard + "/mail/")
	tab.Await(`document.body.innerText.includes("Through the gateway")`)
}
