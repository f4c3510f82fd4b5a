package post

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/browser"
	"kith.alt/kith/ui"
)

var screens = flag.String("screens", "", "write screenshots of all pages into this `directory`")

// dashboard serves the screens as the dashboard does.
func (f *fixture) dashboard() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(ui.AssetPath, ui.Assets())
	mux.HandleFunc(screenPath, func(w http.ResponseWriter, r *http.Request) {
		frame := ui.Frame{Host: "maple", Group: "home", Awake: 2, Members: len(f.Members()), Account: "ada", CSRF: "the-token", SignOut: "/signout",
			Rail: []ui.Entry{{Href: "/", Title: "Home", Icon: "home"}, {Href: "/share/", Title: "Share", Icon: "publish"}, {Href: screenPath, Title: "Letters", Icon: "sent"}, {Href: "/members/", Title: "Members", Icon: "people"}}}
		http.StripPrefix("/post", f.Service.Screens[0].Handler).ServeHTTP(w, r.WithContext(ui.WithFrame(r.Context(), frame)))
	})
	return mux
}

func (f *fixture) visit(method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.dashboard().ServeHTTP(w, r)
	return w
}

var inline = regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=`)

// page checks what holds for all screens.
func page(t *testing.T, w *httptest.ResponseRecorder, status int, wants ...string) {
	t.Helper()
	body := w.Body.String()
	if w.Code != status || inline.MatchString(body) {
		t.Errorf("status %d, want %d, inline %q", w.Code, status, inline.FindString(body))
	}
	if posts, tokens := strings.Count(body, `method="post"`), strings.Count(body, `value="the-token"`); posts != tokens {
		t.Errorf("%d forms, %d tokens", posts, tokens)
	}
	wantAll(t, body, wants...)
}

func TestScreens(t *testing.T) {
	f := start(t)
	page(t, f.visit(http.MethodGet, "/post/", nil), http.StatusOK, "No letters yet", "A letter is what an application")
	page(t, f.visit(http.MethodGet, "/post/held", nil), http.StatusOK, "0 letters, 0 bytes of 2.0 GiB", "Nothing now", `value="0.5"`, `value="3"`, `value="off" checked`)
	f.household()
	f.add(6, kith.LetterStatus{State: kith.LetterRefused, Reason: "<b>no</b>"})
	page(t, f.visit(http.MethodGet, "/post/", nil), http.StatusOK, "Under way", "Waits here", "Birch sleeps", "Held by elm and fir", "Ended", "Delivered to elm", "Expired", "&lt;b&gt;no")
	page(t, f.visit(http.MethodGet, "/post/held", nil), http.StatusOK, "13 letters, 3.0 MiB", "birch")
	for i := range 200 {
		f.add(byte(i), kith.LetterStatus{State: []string{kith.LetterHeld, kith.LetterDelivered}[i%2]})
	}
	page(t, f.visit(http.MethodGet, "/post/", nil), http.StatusOK, "And 52 others.", "And 55 others before.")
}

func TestScreenLimits(t *testing.T) {
	f := start(t)
	w := f.visit(http.MethodPost, "/post/held", url.Values{"total": {"4"}, "sender": {"0,25"}, "copies": {"2"}, "margin": {"on"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/post/held" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want := kith.PostLimits{Total: 4 << 30, Sender: 1 << 28, Copies: 2, Margin: true}
	if l := f.post.Limits(); l != want {
		t.Errorf("limits: %+v", l)
	}
	page(t, f.visit(http.MethodGet, "/post/held", nil), http.StatusOK, `value="0.25"`, `value="on" checked`)
	w = f.visit(http.MethodPost, "/post/held", url.Values{"total": {"lots"}, "sender": {"NaN"}, "copies": {"9"}})
	page(t, w, http.StatusUnprocessableEntity, `value="lots"`, "A number from 1 to 8.", "It is marked below")
	if l := f.post.Limits(); l != want {
		t.Errorf("what was refused holds: %+v", l)
	}
}

func TestScreensLive(t *testing.T) {
	f := start(t)
	f.household()
	server := httptest.NewServer(f.dashboard())
	defer server.Close()
	for path, want := range map[string]string{"events": "live-letters", "events/held": "live-held"} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+screenPath+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		found := false
		for !found && lines.Scan() {
			found = strings.Contains(lines.Text(), want) && strings.Contains(lines.Text(), "birch")
		}
		if !found {
			t.Errorf("%s sends no %s: %v", path, want, lines.Err())
		}
		cancel()
		res.Body.Close()
	}
}

// TestScreenshots writes a picture of every page, in three widths, light and dark, into
// the directory that -screens names.
func TestScreenshots(t *testing.T) {
	if *screens == "" {
		return // nobody wants pictures
	}
	if err := os.MkdirAll(*screens, 0o700); err != nil {
		t.Fatal(err)
	}
	b := browser.Open(t, nil)
	for name, fill := range map[string]func(*fixture){"empty": func(*fixture) {}, "real": func(f *fixture) { f.household() }, "much": fillMuch} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			fill(f)
			server := httptest.NewServer(f.dashboard())
			defer server.Close()
			defer server.CloseClientConnections() // open streams
			b := b.For(t)
			for title, path := range map[string]string{"letters": screenPath, "held": heldScreen} {
				for _, width := range []int{360, 768, 1440} {
					for _, scheme := range []string{"light", "dark"} {
						b.Look(width, 900, scheme)
						b.Load(strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + path)
						file := filepath.Join(*screens, fmt.Sprintf("%s-%s-%d-%s.png", title, name, width, scheme))
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

// fillMuch has long names, many letters, and no luck.
func fillMuch(f *fixture) {
	var members []kith.ID
	for i := range 30 {
		id := f.Admit(fmt.Sprintf("the-old-laptop-in-the-kitchen-next-to-the-window-%d", i), i%3 == 0)
		members = append(members, id)
		f.post.custody = append(f.post.custody, kith.Custody{From: id, Letters: i * 400, Bytes: int64(i) << 24})
	}
	for i := range 140 {
		s := kith.LetterStatus{Letter: kith.Letter{To: members[i%30]}, State: kith.LetterHeld, Held: members[:i%9+1]}
		if i%4 == 3 {
			s = kith.LetterStatus{Letter: kith.Letter{To: members[i%30]}, State: kith.LetterRefused, Reason: strings.Repeat("nobody here is called that, and it may be long ", 5)}
		}
		f.add(byte(i), s)
	}
}
