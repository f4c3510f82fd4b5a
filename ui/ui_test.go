package ui

import (
	"context"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1,023 bytes", 1024: "1.0 KiB", 1500: "1.5 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB",
	} {
		if got := Size(bytes); got != want {
			t.Errorf("Size(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func TestRelative(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                              "just now",
		-9 * time.Second:               "just now",
		-10 * time.Second:              "10 seconds ago",
		-59 * time.Second:              "1 minute ago",
		-90 * time.Second:              "2 minutes ago",
		3 * time.Hour:                  "in 3 hours",
		-23*time.Hour - 50*time.Minute: "1 day ago",
		-400 * 24 * time.Hour:          "1 year ago",
	} {
		if got := Relative(d); got != want {
			t.Errorf("Relative(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestMillis(t *testing.T) {
	for ms, want := range map[float64]string{0: "", 0.42: "0.4 ms", 9.96: "10 ms", 12.4: "12 ms", 1234: "1.2 s"} {
		if got := Millis(ms); got != want {
			t.Errorf("Millis(%v) = %q, want %q", ms, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "−1,234"} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestAssets(t *testing.T) {
	for name := range assets {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", Asset(name), nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	for _, address := range []string{"/-/kith.css", "/-/../page.go", "/-/"} {
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+address, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", address, w.Code)
		}
	}
	w := httptest.NewRecorder()
	Assets().ServeHTTP(w, httptest.NewRequest("POST", Asset("kith.css"), nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", w.Code)
	}
}

// Templates that name an icon or file that is not there would draw nothing, and
// not fail.
func TestShellIsComplete(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(WithFrame(r.Context(), Frame{
		Host: "<maple>", Group: "home", Awake: 2, Members: 3, Account: "ada", CSRF: "token", SignOut: "/signout",
		Rail: []Entry{{Href: "/", Title: "Home", Icon: "home"}, {Href: "/mail/", Title: "Mail", Icon: "letter", Count: 7}, {Href: "/members/", Title: "Members", Icon: "people", Count: 100}},
	}))
	Write(w, r, http.StatusOK, Page{Title: "Title & more", Active: "/", Live: "/events", Body: Text("<b>")})
	body := w.Body.String()
	for _, want := range []string{
		"&lt;maple&gt;", "Title &amp; more", "&lt;b&gt;", "2 of 3 awake", `aria-current="page"`, `<b class="count">7<span class="hidden"> new</span></b>`, `<b class="count">99+<`, `name="csrf" value="token"`,
		Asset("kith.css"), Asset("kith.js"), Asset("live.js"), Asset("kith.svg"), `data-live="/events"`,
	} {
		if want == "" || !strings.Contains(body, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for _, bad := range []string{" style=", "<script>", "onclick", `href=""`, `src=""`} {
		if strings.Contains(body, bad) {
			t.Errorf("page contains %q", bad)
		}
	}
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
		t.Errorf("policy %q", got)
	}
}

func TestFailingBodySendsNothingOfIt(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, httptest.NewRequest("GET", "/", nil), http.StatusOK, Page{Title: "T", Body: func(w io.Writer) error {
		_, _ = io.WriteString(w, "half a page")
		return os.ErrInvalid
	}})
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "half a page") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAloneRefersToNothing(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, httptest.NewRequest("GET", "/", nil), http.StatusNotFound, Page{Title: "Oak is asleep", Alone: true, Body: Text("Later.")})
	body := w.Body.String()
	if strings.Contains(body, AssetPath) || strings.Contains(body, "<script") || !strings.Contains(body, "<style>"+aloneStyle+"</style>") {
		t.Error("page refers to files, or its style was changed")
	}
}

func TestFlashIsShownOnce(t *testing.T) {
	w := httptest.NewRecorder()
	Redirect(w, httptest.NewRequest("POST", "/", nil), "/next", "Oak is <out>.")
	r := httptest.NewRequest("GET", "/next", nil)
	r.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	Write(w, r, http.StatusOK, Page{Title: "T"})
	if !strings.Contains(w.Body.String(), "Oak is &lt;out&gt;.") {
		t.Error("the sentence is not shown")
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("cookie is kept: %v", c)
	}
}

func TestField(t *testing.T) {
	html, err := Field{Name: "host", Label: "Name", Value: `"><script>`, Error: "is <taken>", Required: true}.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`for="f-host"`, `id="f-host"`, `aria-describedby="n-host"`, `aria-invalid="true"`, "is &lt;taken&gt;", " required"} {
		if !strings.Contains(string(html), want) {
			t.Errorf("%s\nlacks %q", html, want)
		}
	}
	if strings.Contains(string(html), "<script>") {
		t.Error("value is not escaped")
	}
	if _, err := (Field{}).HTML(); err == nil {
		t.Error("a field without a name is drawn")
	}
}

func TestDrawingsEscapeLabels(t *testing.T) {
	for name, html := range map[string]template.HTML{
		"bitmap": Bitmap(2, func(x, y int) bool { return x == y }, `"<x>`),
		"copy":   Copy(`"<x>`),
		"state":  State("online", `"<x>`),
	} {
		if strings.Contains(string(html), "<x>") {
			t.Errorf("%s: %s", name, html)
		}
	}
}

func TestTimeline(t *testing.T) {
	sent := time.Now().Add(-time.Hour)
	for state, want := range map[string]string{
		"queued": `aria-current="step"><b>Waits here</b> <small>&lt;why&gt;`, "held": "<b>Held by elm, fir and &lt;oak&gt;</b>", "delivered": `class="good"><b>Delivered to &lt;b&gt;`,
		"refused": `class="problem"><b>Refused</b>`, "expired": `class="problem"><b>Expired</b>`,
	} {
		html := string(Timeline(Letter{To: "<b>", State: state, Note: "<why>", Held: []string{"elm", "fir", "<oak>"}, Sent: sent, Since: sent, Expires: sent.Add(48 * time.Hour)}))
		if !strings.Contains(html, want) || !strings.Contains(html, "Written") {
			t.Errorf("%s: %s\nlacks %s", state, html, want)
		}
	}
}

func TestStreamsOfAnAccount(t *testing.T) {
	var streams Streams
	for n := range maxStreams + 1 {
		if ok := streams.enter("ann"); ok != (n < maxStreams) {
			t.Errorf("number %d: %v", n+1, ok)
		}
	}
	if !streams.enter("bob") {
		t.Error("another account has none")
	}
	streams.leave("ann")
	if !streams.enter("ann") {
		t.Error("none is free when one was closed")
	}
}

func TestStreamSendsWhatChanged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	var streams Streams
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		streams.Serve(w, r, time.Millisecond, func(context.Context) ([]Fragment, error) {
			if n++; n == 3 {
				cancel()
				return nil, context.Canceled
			}
			return []Fragment{{"still", Text("same")}, {"moving", Text(Number(n))}}, nil
		})
	}))
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if still, moving := strings.Count(string(body), `"still"`), strings.Count(string(body), `"moving"`); still != 1 || moving != 2 {
		t.Errorf("still %d times, moving %d times:\n%s", still, moving, body)
	}
	<-ctx.Done()
}
