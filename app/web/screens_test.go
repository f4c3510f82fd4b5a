package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kith.alt/kith/ui"
)

// visit asks for a screen as the dashboard does.
func (f *fixture) visit(method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host = "localhost:8080"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r = r.WithContext(ui.WithFrame(r.Context(), ui.Frame{Host: "maple", Group: "home", CSRF: "the-token", Rail: []ui.Entry{{Href: "/web/", Title: "Web"}}}))
	w := httptest.NewRecorder()
	f.Service.Screens[0].Handler.ServeHTTP(w, r)
	return w
}

var inline = regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=`)

// page visits a screen and checks what holds for all of them.
func (f *fixture) page(t *testing.T, path string, status int) string {
	t.Helper()
	return checkPage(t, f.visit(http.MethodGet, path, nil), status)
}

func checkPage(t *testing.T, w *httptest.ResponseRecorder, status int) string {
	t.Helper()
	body := w.Body.String()
	if w.Code != status {
		t.Errorf("status %d, want %d\n%s", w.Code, status, body)
	}
	if found := inline.FindString(body); found != "" {
		t.Errorf("the page has %q inline", found)
	}
	if posts, tokens := strings.Count(body, `method="post"`), strings.Count(body, `value="the-token"`); posts != tokens {
		t.Errorf("%d forms, %d tokens", posts, tokens)
	}
	return body
}

func TestScreens(t *testing.T) {
	f := start(t)
	body := f.page(t, "/", http.StatusOK)
	for _, want := range []string{"the sample page", `href="http://oak--home.localhost:8080/"`, `href="http://maple--home.localhost:8080/"`, `href="/web/publish"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the first page has no %s", want)
		}
	}
	dir := folder(t, `<b>.html`, "x")
	odd := filepath.Join(dir, "<b> & co")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	w := f.visit(http.MethodPost, "/publish", url.Values{"dir": {odd}, "path": {"/odd"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/web/" {
		t.Errorf("publishing: %d %s\n%s", w.Code, w.Header().Get("Location"), w.Body)
	}
	if body := f.page(t, "/", http.StatusOK); !strings.Contains(body, "&lt;b&gt; &amp; co") || strings.Contains(body, odd) {
		t.Errorf("the folder's name is not escaped, or not shown")
	}
	if response, _ := f.get(t, "/odd/"); response.StatusCode != http.StatusOK {
		t.Errorf("it is not served: %s", response.Status)
	}

	// What was typed stays, and what is wrong is said.
	w = f.visit(http.MethodPost, "/publish", url.Values{"dir": {"/no/such/folder"}, "path": {"/mine"}})
	if body := checkPage(t, w, http.StatusUnprocessableEntity); !strings.Contains(body, `value="/no/such/folder"`) ||
		!strings.Contains(body, `value="/mine"`) || !strings.Contains(body, "There is no folder /no/such/folder; check its name.") {
		t.Errorf("a folder that is not there:\n%s", body)
	}
	w = f.visit(http.MethodPost, "/expose", url.Values{"local": {"22"}})
	if body := checkPage(t, w, http.StatusUnprocessableEntity); !strings.Contains(body, `value="22"`) || !strings.Contains(body, "belong to kith itself") {
		t.Errorf("a port of kith's:\n%s", body)
	}

	w = f.visit(http.MethodPost, "/expose", url.Values{"local": {"3000"}, "port": {"4000"}, "name": {"wiki"}})
	if w.Code != http.StatusSeeOther {
		t.Errorf("exposing: %d\n%s", w.Code, w.Body)
	}
	if body := f.page(t, "/", http.StatusOK); !strings.Contains(body, "maple.home.kith.alt:4000") {
		t.Errorf("the port is not shown:\n%s", body)
	}
	for path, form := range map[string]url.Values{"/unpublish": {"path": {"/odd"}}, "/unexpose": {"port": {"4000"}}} {
		if w := f.visit(http.MethodPost, path, form); w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
	}
	if o, err := f.overview(t); err != nil || len(o.Sites)+len(o.Exposed) != 0 {
		t.Errorf("left: %+v, %v", o, err)
	}
	f.page(t, "/publish", http.StatusOK)
	f.page(t, "/expose", http.StatusOK)
	if w := f.visit(http.MethodGet, "/unpublish", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a change by GET: %d", w.Code)
	}
}

func (f *fixture) overview(t *testing.T) (o Overview, err error) {
	t.Helper()
	return o, f.Ask(t.Context(), http.MethodGet, "/sites", struct{}{}, &o)
}
