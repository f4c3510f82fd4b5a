package share

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

var update = flag.Bool("update", false, "write golden files")

// dashboard serves the screens as the dashboard does, but for its checks.
func (f *fixture) dashboard() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(ui.AssetPath, ui.Assets())
	mux.HandleFunc(screenPath, func(w http.ResponseWriter, r *http.Request) {
		frame := ui.Frame{Host: "maple", Group: "home", Awake: 2, Members: len(f.Members()), Account: "ada", CSRF: "the-token", SignOut: "/signout",
			Rail: []ui.Entry{{Href: "/", Title: "Home", Icon: "home"}, {Href: "/web/", Title: "Web", Icon: "globe"}, {Href: screenPath, Title: "Share", Icon: "publish"}, {Href: "/members/", Title: "Members", Icon: "people"}, {Href: "/settings/", Title: "Settings", Icon: "settings"}}}
		if r.Method != http.MethodGet && r.Header.Get("X-Kith-CSRF") != frame.CSRF && r.FormValue(ui.CSRFField) != frame.CSRF {
			http.Error(w, "no token", http.StatusForbidden)
			return
		}
		http.StripPrefix("/share", f.Service.Screens[0].Handler).ServeHTTP(w, r.WithContext(ui.WithFrame(r.Context(), frame)))
	})
	return mux
}

// visit asks for a screen.
func (f *fixture) visit(method, path string, form url.Values) *httptest.ResponseRecorder {
	if form != nil {
		form.Set(ui.CSRFField, "the-token")
	}
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host = "localhost:8080"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.dashboard().ServeHTTP(w, r)
	return w
}

var inline = regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=`)

// page visits a screen and checks what holds for all of them.
func (f *fixture) page(t *testing.T, path string, status int, wants ...string) string {
	t.Helper()
	return checkPage(t, f.visit(http.MethodGet, path, nil), status, wants...)
}

func checkPage(t *testing.T, w *httptest.ResponseRecorder, status int, wants ...string) string {
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
	for _, want := range wants {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	return body
}

// press sends a form that has to lead to another page, whose address it returns.
func (f *fixture) press(t *testing.T, path string, form url.Values) string {
	t.Helper()
	w := f.visit(http.MethodPost, path, form)
	if w.Code != http.StatusSeeOther {
		t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
	}
	return w.Header().Get("Location")
}

func TestScreensEmpty(t *testing.T) {
	f := start(t)
	f.page(t, "/share/", http.StatusOK, "Nothing is shared yet", `href="/share/new"`, `name="what"`)
	f.page(t, "/share/mine", http.StatusOK, "Nothing yet", "0 bytes of 2.0 GiB", "Nothing has moved")
	f.page(t, "/share/limits", http.StatusOK, `name="up" type="text" value=""`, `name="copies" type="text" value="2"`, filepath.Join(f.home, "Downloads", "kith"))
	f.page(t, "/share/new", http.StatusOK, filepath.Join(f.home, "kith", "shared"))
	f.page(t, "/share/?q=films", http.StatusOK, "Nothing fits “films”")
	f.page(t, sharePage(kith.ContentID{9}), http.StatusNotFound, "the library does not list it")
	f.page(t, "/share/x/nonsense", http.StatusUnprocessableEntity)
	if w := f.visit(http.MethodGet, "/share/-/share.css", nil); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("the style: %d %v", w.Code, w.Header())
	}
	if w := f.visit(http.MethodGet, "/share/-/other.css", nil); w.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", w.Code)
	}
}

func TestScreensShare(t *testing.T) {
	f := start(t)
	path := f.write(t, "<b> & co.txt", "hello")
	w := f.visit(http.MethodPost, "/share/new", url.Values{"path": {filepath.Join(f.dir, "nowhere")}, "title": {"Mine"}, "follow": {"yes"}})
	checkPage(t, w, http.StatusUnprocessableEntity, "There is no file or folder", `value="Mine"`, " checked")
	at := f.press(t, "/share/new", url.Values{"path": {"~/files/<b> & co.txt"}})
	body := f.page(t, at, http.StatusOK, "&lt;b&gt; &amp; co.txt", "5 bytes, shared by this computer.", "Nobody takes it at the moment",
		"magnet:?xt=urn:btmh", "http://127.0.0.1:6881/announce", "Stop sharing", `class="bitmap"`, "The link as a QR code")
	if strings.Contains(body, "<b> & co") {
		t.Error("the title is not escaped")
	}
	f.page(t, "/share/", http.StatusOK, "yours")
	f.page(t, "/share/mine", http.StatusOK, `href="`+at+`"`)
	w = f.visit(http.MethodGet, at+"/torrent", nil)
	_, disposition, err := mime.ParseMediaType(w.Header().Get("Content-Disposition"))
	if err != nil || disposition["filename"] != "_b_ & co.txt.torrent" || !strings.HasPrefix(w.Body.String(), "d8:announce") {
		t.Errorf("torrent: %q, %v", w.Header(), err)
	}
	for verb, want := range map[string]string{"pause": "Paused, with 5 bytes", "resume": "shared by this computer", "pin": "Unpin", "unpin": "shared by", "verify": "shared by",
		"follow": "Stop sharing changes", "unfollow": "Share changes, too"} {
		f.page(t, f.press(t, at+"/"+verb, url.Values{}), http.StatusOK, want)
	}
	if back := f.press(t, at+"/stop", url.Values{}); back != "/share/mine" {
		t.Errorf("stopping leads to %s", back)
	}
	f.page(t, "/share/mine", http.StatusOK, "Stopped just now", "Share again")
	f.press(t, "/share/new", url.Values{"path": {path}, "title": {filepath.Base(path)}})
	if body := f.page(t, "/share/mine", http.StatusOK, `href="`+at+`"`); strings.Contains(body, "Stopped just now") {
		t.Error("what was undone can still be")
	}
	if w := f.visit(http.MethodPost, at+"/explode", url.Values{}); w.Code != http.StatusNotFound {
		t.Errorf("a verb that is none: %d", w.Code)
	}
	if w := f.visit(http.MethodGet, at+"/pause", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a change by GET: %d", w.Code)
	}
}

func TestScreensGet(t *testing.T) {
	f := start(t)
	film := f.swarm.Offer(kith.Entry{Host: oak, Title: "Holiday 2026", Name: "../.holiday.mp4"}, map[string]string{"": "film"})
	f.page(t, "/share/", http.StatusOK, "Holiday 2026", "Get</button>", ">oak<")
	f.page(t, sharePage(film.Content), http.StatusOK, "4 bytes, shared by oak.", "Get it")
	at := f.press(t, "/share/get", url.Values{"what": {linkOf(film.Content, film.Name)}})
	f.page(t, at, http.StatusOK, "complete, and given to whoever asks", "Stop giving it")
	got := filepath.Join(f.home, "Downloads", "kith", "_.holiday.mp4")
	if text := read(t, got); text != "film" {
		t.Errorf("it is %q", text)
	}
	if again := f.press(t, "/share/get", url.Values{"what": {"Holiday 2026"}}); again != at {
		t.Errorf("again: %s, want %s", again, at)
	}
	f.page(t, "/share/mine", http.StatusOK, "What you took is yours")
	f.page(t, f.press(t, at+"/follow", url.Values{}), http.StatusOK, "taken as they come", "Stay at this version")
	f.page(t, f.press(t, at+"/unfollow", url.Values{}), http.StatusOK, "not taken", "Take newer versions, too")
	// Another of that name stands beside it; a newer version takes its place.
	f.swarm.Offer(kith.Entry{Host: elm, Title: "Other", Name: "_.holiday.mp4"}, map[string]string{"": "other"})
	f.press(t, "/share/get", url.Values{"what": {"Other"}})
	if text := read(t, filepath.Join(f.home, "Downloads", "kith", "_.holiday (2).mp4")); text != "other" {
		t.Errorf("the other is %q", text)
	}
	f.swarm.Offer(kith.Entry{Host: oak, Title: "Holiday 2026", Name: "../.holiday.mp4"}, map[string]string{"": "longer film"})
	f.page(t, "/share/", http.StatusOK, "Update</button>")
	f.press(t, "/share/get", url.Values{"what": {"Holiday 2026"}})
	if text := read(t, got); text != "longer film" {
		t.Errorf("brought up to date it is %q", text)
	}
	for _, what := range []string{"", "nothing", "kith:x", "a\x00"} {
		if back := f.press(t, "/share/get", url.Values{"what": {what}}); back != "/share/" {
			t.Errorf("%q leads to %s", what, back)
		}
	}
}

func TestScreensLimits(t *testing.T) {
	f := start(t)
	f.press(t, "/share/limits", url.Values{"up": {"1.5"}, "copies": {"4"}, "member-disk": {"0,5"},
		"days0": {"mon-fri"}, "from0": {"08:00"}, "to0": {"18:00"}, "up0": {"0.25"}, "days1": {"sat"}})
	l := f.swarm.Limits()
	if l.Up != 3<<19 || l.Down != 0 || l.Copies != 4<<30 || l.MemberDisk != 1<<29 || len(l.Hours) != 1 || l.Hours[0] != (kith.RateHours{Days: "mon-fri", From: "08:00", To: "18:00", Up: 1 << 18}) {
		t.Errorf("limits: %+v", l)
	}
	f.page(t, "/share/limits", http.StatusOK, `value="1.5"`, `value="0.25"`, `<option value="mon-fri" selected>`, `value="18:00"`)
	w := f.visit(http.MethodPost, "/share/limits", url.Values{"up": {"fast"}, "copies": {""}, "from0": {"08:00"}, "down": {"NaN"}, "member-up": {"-1"}})
	body := checkPage(t, w, http.StatusUnprocessableEntity, `value="fast"`, "Until when?")
	if n := strings.Count(body, "A number from"); n != 5 {
		t.Errorf("%d numbers are refused", n)
	}
	if f.swarm.Limits().Up != 3<<19 {
		t.Error("what was refused holds")
	}
	dir := filepath.Join(f.home, "new", "folder")
	f.press(t, "/share/folders", url.Values{"downloads": {"~/new/folder"}, "uploads": {dir}})
	f.page(t, "/share/limits", http.StatusOK, `value="`+dir+`"`)
	if err := os.Mkdir(filepath.Join(f.home, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	w = f.visit(http.MethodPost, "/share/folders", url.Values{"downloads": {"films"}, "uploads": {filepath.Join(f.home, "private")}})
	checkPage(t, w, http.StatusUnprocessableEntity, "not a whole path", "keeps its key")
}

// TestLimitsStay saves the form as it is shown: limits that are no round numbers of its units
// stay as they are.
func TestLimitsStay(t *testing.T) {
	f := start(t)
	want := kith.SwarmLimits{Up: 2_000_000, Down: 100, MemberUp: 1, MemberDown: 12_345_678, Copies: 5_000_000_000,
		Hours: []kith.RateHours{{Days: "mon-fri", From: "08:00", To: "18:00", Up: 300_000, Down: 7}}}
	if err := f.swarm.SetLimits(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	form := make(url.Values)
	page := newLimitsPage(want)
	for _, field := range []ui.Field{page.Up, page.Down, page.MemberUp, page.MemberDown, page.Copies, page.Member} {
		form.Set(field.Name, field.Value)
	}
	for _, row := range page.Hours {
		for _, field := range []ui.Field{row.Days, row.From, row.To, row.Up, row.Down} {
			form.Set(field.Name, field.Value)
		}
	}
	f.press(t, "/share/limits", form)
	if got := f.swarm.Limits(); !reflect.DeepEqual(got, want) {
		t.Errorf("limits: %+v, want %+v", got, want)
	}
	form.Set("up", "2")
	f.press(t, "/share/limits", form)
	if got := f.swarm.Limits(); got.Up != 2<<20 || got.Down != want.Down {
		t.Errorf("one changed: %+v", got)
	}
}

// upload sends a file as the script does.
func (f *fixture) upload(t *testing.T, name, text string, slice int) (Upload, error) {
	t.Helper()
	up, err := f.ask(http.MethodPost, "/share/uploads", []byte(fmt.Sprintf(`{"name":%q,"size":%d}`, name, len(text))))
	if err != nil {
		return up, err
	}
	id := up.ID
	for up.Have < int64(len(text)) {
		part := text[up.Have:min(int(up.Have)+slice, len(text))]
		if up, err = f.ask(http.MethodPut, fmt.Sprintf("/share/uploads/%s?offset=%d", id, up.Have), []byte(part)); err != nil {
			return up, err
		}
	}
	return f.ask(http.MethodPost, "/share/uploads/"+id, nil)
}

func (f *fixture) ask(method, path string, body []byte) (up Upload, err error) {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("X-Kith-CSRF", "the-token")
	w := httptest.NewRecorder()
	f.dashboard().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return up, kith.ReadError(w.Result())
	}
	return up, json.Unmarshal(w.Body.Bytes(), &up)
}

func TestUpload(t *testing.T) {
	f := start(t)
	folder := filepath.Join(f.home, "kith", "shared")
	for i, want := range []string{"notes.txt", "notes (2).txt"} {
		up, err := f.upload(t, "notes.txt", strings.Repeat("hello", 10+i), 7)
		if err != nil {
			t.Fatal(err)
		}
		f.page(t, up.Link, http.StatusOK, want)
		if got := read(t, filepath.Join(folder, want)); got != strings.Repeat("hello", 10+i) {
			t.Errorf("%s is %q", want, got)
		}
	}
	if _, err := f.upload(t, "../../.profile", "", 1); err != nil {
		t.Error(err)
	}
	read(t, filepath.Join(folder, "_.._.profile"))

	// Slices that come twice, or too early, change nothing; too much ends it.
	up, err := f.ask(http.MethodPost, "/share/uploads", []byte(`{"name":"x","size":4}`))
	if err != nil {
		t.Fatal(err)
	}
	at := "/share/uploads/" + up.ID
	for _, step := range []struct {
		offset string
		text   string
		have   int64
	}{{"0", "ab", 2}, {"0", "ab", 2}, {"3", "d", 2}, {"2", "c", 3}} {
		if up, err := f.ask(http.MethodPut, at+"?offset="+step.offset, []byte(step.text)); err != nil || up.Have != step.have {
			t.Errorf("%+v: %+v, %v", step, up, err)
		}
	}
	if _, err := f.ask(http.MethodPost, at, nil); err == nil || !strings.Contains(err.Error(), "not arrived whole") {
		t.Errorf("half a file is shared: %v", err)
	}
	for path, body := range map[string]string{at + "?offset=x": "", at + "?offset=3": "de"} {
		if _, err := f.ask(http.MethodPut, path, []byte(body)); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
	for _, body := range []string{`{"name":"","size":1}`, `{"name":"..","size":1}`, `{"name":"x","size":-1}`, fmt.Sprintf(`{"name":"x","size":%d}`, int64(math.MaxInt64)), "x"} {
		if _, err := f.ask(http.MethodPost, "/share/uploads", []byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
	var last Upload
	for range maxUploads {
		if last, err = f.ask(http.MethodPost, "/share/uploads", []byte(`{"name":"x","size":4}`)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.ask(http.MethodPost, "/share/uploads", []byte(`{"name":"x","size":4}`)); err == nil || !strings.Contains(err.Error(), "on their way") {
		t.Errorf("too many: %v", err)
	}
	f.visitUpload(http.MethodDelete, last.ID)
	if _, err := f.ask(http.MethodPost, "/share/uploads", []byte(`{"name":"x","size":4}`)); err != nil {
		t.Errorf("after one was given up: %v", err)
	}
	f.stop()
	if left, err := filepath.Glob(filepath.Join(folder, uploadPrefix+"*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func (f *fixture) visitUpload(method, id string) {
	r := httptest.NewRequest(method, "/share/uploads/"+id, nil)
	r.Header.Set("X-Kith-CSRF", "the-token")
	f.dashboard().ServeHTTP(httptest.NewRecorder(), r)
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{uploadPrefix + "old": 48 * time.Hour, uploadPrefix + "new": 0, "mine": 48 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 && len(left) != 2 {
		t.Errorf("left: %q", left)
	}
	if _, err := os.Stat(filepath.Join(dir, uploadPrefix+"old")); err == nil {
		t.Error("the old one is left")
	}
	sweep(filepath.Join(dir, "nowhere"))
}

// TestPicture compares what is drawn with a golden file.
func TestPicture(t *testing.T) {
	var r rates
	id := kith.ContentID{1}
	for i := range samples {
		r.add([]kith.Holding{{Content: id, Down: 2e6 * (1 + math.Sin(float64(i)/9)), Up: 1e5 * float64(i%20)}})
	}
	s := Share{Holding: kith.Holding{Content: id, State: kith.HoldingTaking, Size: 1000, Have: 420, Files: 1, Down: 3e6, Up: 1e5, Parts: []byte{255, 255, 0, 9, 128, 0, 250, 255}}}
	s.Peers = []Client{
		{Taker: kith.Taker{Client: "qBittorrent/5.1", Up: 5e4, Have: 0.25}, Name: "qBittorrent/5.1"},
		{Taker: kith.Taker{Client: "aria2/1.37.0", Near: true, Up: 1e5, Parts: make([]byte, 8)}, Name: "aria2/1.37.0"},
		{Taker: kith.Taker{Host: oak, Near: true, Have: 1, Down: 3e6}, Name: "oak"},
		{Taker: kith.Taker{Host: elm, Have: 0.5}, Name: "elm"},
	}
	v := shareView{Share: s, Host: "maple", Picture: draw(s, "maple"), Chart: newChart(r.of(id)), Moves: true}
	var b bytes.Buffer
	if err := pages.Body("live-share", v)(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/picture.html"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != b.String() {
		t.Errorf("the picture differs from %s (%v); run with -update and look at it", golden, err)
	}
	for range 2 * samples {
		r.add(nil)
	}
	if len(r.curves) != 0 || newChart(r.of(id)).Top != "" {
		t.Error("what rests keeps its curve")
	}
}

func TestPartsSayNoMoreThanIs(t *testing.T) {
	for part := range 256 {
		if got := level(byte(part)); (got == levels) != (part == 255) || (got == 0) != (part == 0) || got > levels {
			t.Errorf("part %d has level %d", part, got)
		}
	}
	if n := strings.Count(string(drawParts(nil, 0.999)), "<rect"); n != 1 {
		t.Errorf("%d rectangles", n)
	}
}
