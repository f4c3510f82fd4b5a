package mail

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
	"kith.alt/kith/ui"
)

// A desk is the application with its screens, as the dashboard shows them to an account.
type desk struct {
	*apptest.Host
	mail    *mail
	account string
}

func open(t testing.TB) *desk {
	t.Helper()
	d := &desk{account: apptest.Ann}
	app := App()
	for i := range app.Ports { // the host in memory listens on the overlay only
		app.Ports[i].Overlay = uint16(30000 + i)
	}
	host := apptest.NewHost(t, app)
	d.Host = host
	host.Serve(t)
	d.mail = newMail(host) // for what screens do not show
	if err := d.mail.mailboxes.Prepare(t.Context(), d.account); err != nil {
		t.Fatal(err)
	}
	return d
}

// dashboard serves the screens as the dashboard does, to who is signed in now.
func (d *desk) dashboard() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(ui.AssetPath, ui.Assets())
	mux.HandleFunc(screenPath, func(w http.ResponseWriter, r *http.Request) {
		frame := ui.Frame{Host: "maple", Group: "home", Awake: 2, Members: len(d.Members()), Account: d.account, CSRF: "the-token", SignOut: "/signout",
			Rail: []ui.Entry{{Href: "/", Title: "Home", Icon: "home"}, {Href: "/web/", Title: "Web", Icon: "globe"}, {Href: "/share/", Title: "Share", Icon: "publish"}, {Href: screenPath, Title: "Mail", Icon: "letter", Count: 3}, {Href: "/post/", Title: "Letters", Icon: "sent"}, {Href: "/members/", Title: "Members", Icon: "people"}, {Href: "/settings/", Title: "Settings", Icon: "settings"}}}
		ui.Protect(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Header.Get("X-Kith-CSRF") != frame.CSRF && r.FormValue(ui.CSRFField) != frame.CSRF {
			http.Error(w, "no token", http.StatusForbidden)
			return
		}
		http.StripPrefix("/mail", d.Service.Screens[0].Handler).ServeHTTP(w, r.WithContext(ui.WithFrame(r.Context(), frame)))
	})
	return mux
}

// get asks for a page.
func (d *desk) get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.dashboard().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// press sends a form.
func (d *desk) press(path string, form url.Values) *httptest.ResponseRecorder {
	form.Set(ui.CSRFField, "the-token")
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	d.dashboard().ServeHTTP(w, r)
	return w
}

// write sends the form for a message, with files by name.
func (d *desk) write(t *testing.T, fields url.Values, files map[string]string, accept string) *httptest.ResponseRecorder {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	fields.Set(ui.CSRFField, "the-token")
	for name, values := range fields {
		for _, value := range values {
			if err := form.WriteField(name, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range files {
		w, err := form.CreateFormFile("files", name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/mail/write", &b)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	d.dashboard().ServeHTTP(w, r)
	return w
}

// put puts a message into a folder of an account, and returns its content's number.
func (d *desk) put(t testing.TB, account, folder, raw string, flags ...imap.Flag) int64 {
	t.Helper()
	boxes := d.mail.mailboxes
	if err := boxes.Prepare(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	blob, err := boxes.Write(t.Context(), strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	placed, err := boxes.Append(t.Context(), account, folder, mailbox.Delivery{Blob: blob, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return placed.Content
}

// folder returns a folder of the account.
func (d *desk) folder(t testing.TB, name string) mailbox.Folder {
	t.Helper()
	f, err := d.mail.mailboxes.Folder(t.Context(), d.account, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var inline = regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=`)

// page checks what holds for all screens, and that words are there.
func page(t *testing.T, w *httptest.ResponseRecorder, status int, wants ...string) string {
	t.Helper()
	body := w.Body.String()
	if w.Code != status || inline.MatchString(body) {
		t.Errorf("status %d, want %d, inline %q: %.300s", w.Code, status, inline.FindString(body), body[strings.Index(body, "<main")+1:])
	}
	if posts, tokens := strings.Count(body, `method="post"`), strings.Count(body, `value="the-token"`); posts != tokens {
		t.Errorf("%d forms, %d tokens", posts, tokens)
	}
	for _, want := range wants {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	return body
}

// Every page can be drawn, whatever there is.
func TestPages(t *testing.T) {
	for name, fill := range fillings {
		d := open(t)
		for title, path := range fill(t, d) {
			w := d.get(path)
			if page(t, w, http.StatusOK); t.Failed() {
				t.Fatalf("%s, %s", name, title)
			}
		}
	}
}

// Nobody sees or changes mail of another account, whatever numbers he guesses.
func TestOthersMail(t *testing.T) {
	d := open(t)
	d.Accounts().(*apptest.Accounts).Add("bob")
	secret := d.put(t, apptest.Ann, mailbox.Inbox, mailFrom("eve@elm", "1@elm", "Secret", 0, nil, mixed("Content-Type: text/html\r\n\r\n<p>secret</p>", attachment("image/png", "x.png", "secret")), ""))
	draft := d.put(t, apptest.Ann, mailbox.Drafts, mailFrom("ann@maple.home.kith.alt", "2@maple", "Secret draft", 0, nil, "", "secret"))
	anns := d.folder(t, mailbox.Inbox)
	done := d.press("/mail/act", url.Values{"folder": {number64(anns.ID)}, "c": {number64(secret)}, "do": {"archive"}, "back": {"/mail/"}})
	_, word, _ := strings.Cut(done.Header().Get("Location"), "done=")
	archive := d.folder(t, mailbox.Archive)

	d.account = "bob"
	d.get("/mail/") // he has folders now
	own := d.folder(t, mailbox.Inbox)
	id, f := number64(secret), number64(archive.ID)
	for _, path := range []string{
		"/mail/f/" + f, "/mail/f/" + f + "/empty", "/mail/events/f/" + f, "/mail/c/" + id, "/mail/c/" + id + "?f=" + f, "/mail/c/" + id + "?open=all", "/mail/events/c/" + id,
		"/mail/m/" + id + "/html?part=1", "/mail/m/" + id + "/source", "/mail/m/" + id + "/part/2", "/mail/m/" + id + "/part/2?show=1",
		"/mail/write?reply=" + id, "/mail/write?forward=" + id, "/mail/write?draft=" + number64(draft),
	} {
		if w := d.get(path); w.Code != http.StatusNotFound || strings.Contains(strings.ToLower(w.Body.String()), "secret") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, form := range []url.Values{
		{"folder": {f}, "c": {id}, "do": {"delete"}}, {"c": {id}, "do": {"delete"}}, {"folder": {number64(own.ID)}, "c": {id}, "do": {"star"}},
		{"c": {id}, "do": {"move"}, "to": {number64(own.ID)}}, {"c": {id}, "do": {"read"}}, {"star": {id}},
	} {
		if w := d.press("/mail/act", form); w.Code == http.StatusOK {
			t.Errorf("%v: %d", form, w.Code)
		}
	}
	d.press("/mail/undo", url.Values{"word": {word}})
	d.press("/mail/f/"+f+"/empty", url.Values{})
	d.press("/mail/folders", url.Values{"do": {"delete"}, "folder": {f}})
	d.write(t, url.Values{"do": {"discard"}, "draft": {number64(draft)}}, nil, "")
	if w := d.write(t, url.Values{"do": {"save"}, "keep": {id + ":2", number64(draft) + ":1"}}, nil, "application/json"); strings.Contains(w.Body.String(), "x.png") {
		t.Errorf("it carries off a file: %s", w.Body)
	}
	page(t, d.get("/mail/search?q=secret+in:anywhere"), http.StatusOK, "Nothing fits")

	d.account = apptest.Ann
	if at := d.folder(t, mailbox.Archive); at.Messages != 1 || at.Unseen != 1 || at.ModSeq != archive.ModSeq {
		t.Errorf("something happened to it: %+v", at)
	}
	if at := d.folder(t, mailbox.Drafts); at.Messages != 1 {
		t.Error("the draft is gone")
	}
	d.account = ""
	for _, path := range []string{"/mail/", "/mail/c/" + id, "/mail/write"} {
		if w := d.get(path); w.Code != http.StatusForbidden {
			t.Errorf("%s for nobody: %d", path, w.Code)
		}
	}
}

func number64(n int64) string { return strconv.FormatInt(n, 10) }

func TestActs(t *testing.T) {
	d := open(t)
	one := d.put(t, d.account, mailbox.Inbox, mailFrom("bob@oak", "1@oak", "One", 0, nil, "", "first"))
	d.put(t, d.account, mailbox.Sent, mailFrom("ann@maple.home.kith.alt", "2@maple", "Re: One", 0, []string{"1@oak"}, "", "second"), imap.FlagSeen)
	d.put(t, d.account, mailbox.Inbox, mailFrom("bob@oak", "3@oak", "Re: One", 0, []string{"1@oak", "2@maple"}, "", "third"))
	other := d.put(t, d.account, mailbox.Inbox, mailFrom("eve@elm", "4@elm", "Other", 0, nil, "", "fourth"))
	inbox := number64(d.folder(t, mailbox.Inbox).ID)
	count := func(want string) {
		t.Helper()
		var got []string
		for _, name := range []string{mailbox.Inbox, mailbox.Archive, mailbox.Junk, mailbox.Trash, mailbox.Sent} {
			got = append(got, fmt.Sprint(d.folder(t, name).Messages))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("folders have %v, want %s", got, want)
		}
	}
	act := func(do string, more url.Values, chosen ...int64) *httptest.ResponseRecorder {
		form := url.Values{"folder": {inbox}, "do": {do}, "back": {"/mail/f/" + inbox}}
		for _, c := range chosen {
			form.Add("c", number64(c))
		}
		for name, values := range more {
			form[name] = values
		}
		return d.press("/mail/act", form)
	}
	undo := func(w *httptest.ResponseRecorder, text string) {
		t.Helper()
		address := w.Header().Get("Location")
		page(t, d.get(address), http.StatusOK, text, ">Undo<")
		_, word, _ := strings.Cut(address, "done=")
		d.press("/mail/undo", url.Values{"word": {word}, "back": {"/mail/"}})
	}
	page(t, d.get("/mail/"), http.StatusOK, "3 messages, 3 unread", "bob@oak, me", "<small>3</small>", "Other", "third")
	count("3 0 0 0 1")
	w := act("delete", nil, one, other)
	count("0 0 0 3 1")
	undo(w, "2 conversations are now in Trash.")
	count("3 0 0 0 1")
	w = act("archive", nil, one)
	count("1 2 0 0 1")
	undo(w, "1 conversation is now archived.")
	act("junk", nil, other)
	count("2 0 1 0 1")
	page(t, d.get(folderPage(d.folder(t, mailbox.Junk).ID)), http.StatusOK, "Not junk", "Empty Junk")
	d.press("/mail/act", url.Values{"folder": {number64(d.folder(t, mailbox.Junk).ID)}, "c": {number64(other)}, "do": {"restore"}})
	count("3 0 0 0 1")
	act("read", nil, one)
	if f := d.folder(t, mailbox.Inbox); f.Unseen != 1 {
		t.Errorf("%d are unread", f.Unseen)
	}
	act("unread", nil, one)
	if f := d.folder(t, mailbox.Inbox); f.Unseen != 2 {
		t.Errorf("%d are unread", f.Unseen)
	}
	d.press("/mail/act", url.Values{"folder": {inbox}, "star": {number64(one)}})
	page(t, d.get("/mail/"), http.StatusOK, `star on`)
	page(t, d.get("/mail/search?q=is:starred"), http.StatusOK, "One", "1 message")
	d.press("/mail/act", url.Values{"folder": {inbox}, "unstar": {number64(one)}})
	if strings.Contains(d.get("/mail/").Body.String(), "star on") {
		t.Error("it has a star still")
	}
	d.press("/mail/folders", url.Values{"do": {"make"}, "name": {"Work/2026"}})
	work := d.folder(t, "Work/2026")
	act("move", url.Values{"to": {number64(work.ID)}}, other)
	if n := d.folder(t, "Work/2026").Messages; n != 1 {
		t.Errorf("%d were moved", n)
	}
	page(t, d.press("/mail/folders", url.Values{"do": {"make"}, "name": {"work/*"}}), http.StatusUnprocessableEntity, `value="work/*"`, "no * and no %")
	d.press("/mail/folders", url.Values{"do": {"rename"}, "folder": {number64(work.ID)}, "name": {"Later"}})
	page(t, d.get("/mail/folders"), http.StatusOK, "Later", "1 message,")
	d.press("/mail/folders", url.Values{"do": {"delete"}, "folder": {number64(work.ID)}})
	count("2 0 0 1 1")
	if w := d.press("/mail/folders", url.Values{"do": {"delete"}, "folder": {inbox}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("the inbox: %d", w.Code)
	}
	trash := number64(d.folder(t, mailbox.Trash).ID)
	page(t, d.get("/mail/f/"+trash+"/empty"), http.StatusOK, "Empty Trash?", "1 message")
	d.press("/mail/f/"+trash+"/empty", url.Values{})
	count("2 0 0 0 1")
	if w := d.press("/mail/f/"+inbox+"/empty", url.Values{}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("the inbox is emptied: %d", w.Code)
	}
	if w := act("dance", nil, one); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("dance: %d", w.Code)
	}
	if w := act("archive", url.Values{"back": {"https://evil.example/mail/"}}, one); !strings.HasPrefix(w.Header().Get("Location"), "/mail/?done=") {
		t.Errorf("goes to %s", w.Header().Get("Location"))
	}
}

func TestConversationPage(t *testing.T) {
	d := open(t)
	first := d.put(t, d.account, mailbox.Inbox, mailFrom("Bob <bob@oak.home.kith.alt>", "1@oak", "Plan", 0, nil, "", "see https://x.example/ <script>"), imap.FlagSeen)
	d.put(t, d.account, mailbox.Trash, mailFrom("bob@oak", "2@oak", "Re: Plan", 0, []string{"1@oak"}, "", "thrown away"))
	last := d.put(t, d.account, mailbox.Inbox, mailFrom("eve@elm", "3@elm", "Re: Plan", 0, []string{"1@oak"}, "", "Yes.\n\nOn Monday, Bob wrote:\n> see"))
	d.put(t, d.account, mailbox.Archive, mailFrom("eve@elm", "3@elm", "Re: Plan", 0, []string{"1@oak"}, "", "Yes.\n\nOn Monday, Bob wrote:\n> see"))
	path := conversationPage(last, d.folder(t, mailbox.Inbox).ID)
	body := page(t, d.get(path), http.StatusOK, "<h1>Plan</h1>", `class="folded"`, "Yes.", "2 quoted lines", "Reply")
	if strings.Contains(body, "thrown away") || strings.Count(body, "<article") != 1 {
		t.Error("it shows too much")
	}
	if f := d.folder(t, mailbox.Inbox); f.Unseen != 0 {
		t.Errorf("%d are unread", f.Unseen)
	}
	if f := d.folder(t, mailbox.Archive); f.Unseen != 0 {
		t.Errorf("%d copies are unread", f.Unseen)
	}
	page(t, d.get(path+"&open="+number64(first)), http.StatusOK, `href="https://x.example/" target="_blank" rel="noopener noreferrer"`, "&lt;script&gt;")
	page(t, d.get(path+"&open=all"), http.StatusOK, "bob@oak.home.kith.alt")
	for _, path := range []string{"/mail/c/999", "/mail/c/x", "/mail/c/-1", "/mail/m/999/source", "/mail/m/" + number64(first) + "/part/7", "/mail/m/" + number64(first) + "/part/1.x", "/mail/m/" + number64(first) + "/html?part=1", "/mail/f/999"} {
		page(t, d.get(path), http.StatusNotFound)
	}
}

// The parts of a message are served so that nothing in them runs, whatever they say that they are.
func TestParts(t *testing.T) {
	d := open(t)
	picture, err := base64.StdEncoding.DecodeString(tree)
	if err != nil {
		t.Fatal(err)
	}
	id := number64(d.put(t, d.account, mailbox.Inbox, mailFrom("eve@elm", "1@elm", "Parts", 0, nil, mixed(
		"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p onclick=3Dx>Gr=FC=DFe</p><script>alert(1)</script><img src=3D'https://spy/1.gif'><img src=3D'cid:tree@elm'>",
		attachment("text/html", "../../etc/evil\u202elmth.html", "<script>alert(1)</script>"),
		attachment("image/png", "tree.png", string(picture)),
		attachment("image/png", "liar.png", "<svg onload=alert(1)>"),
		"Content-Type: image/png\r\nContent-ID: <tree@elm>\r\nContent-Transfer-Encoding: base64\r\n\r\n"+tree,
		"Content-Type: message/rfc822\r\n\r\nFrom: Carl <carl@birch>\r\nSubject: Inner\r\n\r\nWords within.\r\n",
		attachment("x\"y/z<b>", "odd", "x"),
	), "")))
	c := "/mail/c/" + id
	body := page(t, d.get(c), http.StatusOK, "1 picture from elsewhere is not loaded", `<iframe class="paper" src="/mail/m/`+id+`/html?part=1" sandbox="allow-same-origin`, "evillmth.html", "tree.png", "Inner", "Words within.", "odd")
	if strings.Contains(body, "allow-scripts") || strings.Contains(body, "\u202e") || strings.Contains(body, "../") {
		t.Errorf("%s", body)
	}
	page(t, d.get(c+"?text="+id), http.StatusOK, "Grüße", "Show as it was designed")
	for path, want := range map[string]struct{ kind, disposition, text string }{
		"/html?part=1":      {"text/html; charset=utf-8", "", "<p>Grüße</p><img src=\"data:image/png;base64,"},
		"/part/2":           {"text/html", `attachment; filename=evillmth.html`, "<script>"},
		"/part/3":           {"image/png", `attachment; filename=tree.png`, "PNG"},
		"/part/3?show=1":    {"image/png", `inline; filename=tree.png`, "PNG"},
		"/part/2?show=1":    {"text/html", `attachment; filename=evillmth.html`, "<script>"},
		"/part/4":           {"image/png", `attachment; filename=liar.png`, "<svg"},
		"/part/6":           {"message/rfc822", `attachment; filename=message.eml`, "Words within."},
		"/part/6.1":         {"text/plain", `attachment; filename=plain.txt`, "Words within."},
		"/part/7":           {"text/plain", "attachment; filename=odd", "x"},
		"/source":           {"text/plain; charset=utf-8", "", "Subject: Parts"},
		"/source?download=": {"text/plain; charset=utf-8", "", "Subject: Parts"},
	} {
		w := d.get("/mail/m/" + id + path)
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != want.kind || !strings.HasPrefix(h.Get("Content-Disposition"), want.disposition) || !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%s: %d %q %q %.200q", path, w.Code, h.Get("Content-Type"), h.Get("Content-Disposition"), w.Body)
		}
		if policy := h.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") || strings.Contains(policy, "allow-scripts") || !strings.Contains(policy, "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
	}
	page(t, d.get("/mail/m/"+id+"/part/4?show=1"), http.StatusNotFound)
	if w := d.get("/mail/m/" + id + "/html?part=1"); strings.Contains(w.Body.String(), "alert") || strings.Contains(w.Body.String(), "spy") {
		t.Errorf("%s", w.Body)
	}
}

func TestSettingsPage(t *testing.T) {
	d := open(t)
	d.Accounts().(*apptest.Accounts).Add("bob")
	if w := d.press("/mail/settings", url.Values{"forward": {"bob@oak"}, "keep": {"yes"}, "away": {"Back on Monday."}}); w.Code != http.StatusSeeOther {
		t.Fatal(w.Code)
	}
	page(t, d.get("/mail/settings"), http.StatusOK, `value="bob@oak.home.kith.alt"`, "Back on Monday.")
	page(t, d.press("/mail/settings", url.Values{"forward": {"x@nowhere"}, "away": {"Still here"}}), http.StatusNotFound, `value="x@nowhere"`, "Still here", "is called")
	for _, form := range []struct {
		what string
		url.Values
	}{{"alias", url.Values{"name": {"annie"}}}, {"list", url.Values{"name": {"family"}}}, {"join", url.Values{"name": {"family"}, "member": {"bob@oak"}}}} {
		if w := d.press("/mail/settings/"+form.what, form.Values); w.Code != http.StatusSeeOther {
			t.Errorf("%v: %d %s", form, w.Code, w.Body)
		}
	}
	page(t, d.get("/mail/settings"), http.StatusOK, "annie@maple", "family@maple", "<span>bob@oak</span>")
	page(t, d.get("/mail/write"), http.StatusOK, "annie@maple.home.kith.alt", `value="family@maple"`)
	page(t, d.press("/mail/settings/alias", url.Values{"name": {"bob"}}), http.StatusConflict, "There is an account bob already.")
	page(t, d.press("/mail/settings/alias", url.Values{"name": {"postmaster"}}), http.StatusUnprocessableEntity, "The name postmaster is for who runs this computer")
	page(t, d.press("/mail/settings/list", url.Values{"name": {"abuse"}}), http.StatusUnprocessableEntity, "The name abuse is for who runs this computer")
	page(t, d.press("/mail/settings/join", url.Values{"name": {"family"}, "member": {"nobody@oak"}}), http.StatusNotFound, `value="nobody@oak"`)
	d.account = "bob"
	for _, what := range []string{"unalias", "unlist", "join", "leave", "dance"} {
		for _, name := range []string{"annie", "family"} {
			page(t, d.press("/mail/settings/"+what, url.Values{"name": {name}, "member": {"bob@oak"}}), http.StatusNotFound)
		}
	}
	d.account = apptest.Ann
	d.press("/mail/settings/leave", url.Values{"name": {"family"}, "member": {"bob@oak"}})
	d.press("/mail/settings/unlist", url.Values{"name": {"family"}})
	d.press("/mail/settings/unalias", url.Values{"name": {"annie"}})
	if body := d.get("/mail/settings").Body.String(); strings.Contains(body, "family@") || strings.Contains(body, "annie@") {
		t.Error("they are there still")
	}
}

// A stream shows mail that comes.
func TestLive(t *testing.T) {
	d := open(t)
	server := httptest.NewServer(d.dashboard())
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/mail/events/f/%d", server.URL, d.folder(t, mailbox.Inbox).ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("no %q: %v", want, lines.Err())
	}
	await("Nothing in the inbox")
	d.put(t, d.account, mailbox.Inbox, mailFrom("bob@oak", "1@oak", "It has come", 0, nil, "", "x"))
	await("It has come")
	cancel()
}

// Broken and hostile mail is shown as far as it goes.
func TestBadMail(t *testing.T) {
	d := open(t)
	for name, raw := range map[string]string{
		"nothing":         "",
		"no header":       "just text\r\n",
		"bare lines":      "Subject: a\n\nb\n",
		"unknown charset": "Content-Type: text/plain; charset=x-klingon\r\n\r\nqapla' \xff\xfe\r\n",
		"binary":          "Subject: \xff\xfe\x00\r\n\r\n\x00\x01\x02\xff",
		"lone encoding":   "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n",
		"odd encoding":    "Content-Type: text/html\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n",
		"subject":         "Subject: " + strings.Repeat("x", 5<<20) + "\r\n\r\nb",
		"ids":             "Message-ID: <" + strings.Repeat("x", 2000) + ">\r\nReferences: " + strings.Repeat("<a@b> ", 10_000) + "\r\n\r\nb",
		"own parent":      "Message-ID: <self@x>\r\nIn-Reply-To: <self@x>\r\nReferences: <self@x>\r\n\r\nb",
		"future":          "Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n\r\nb",
		"nested":          strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100) + "b",
		"empty parts":     "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n--x\r\n--x--\r\n",
		"quotes":          "Subject: \"><script>alert(1)</script>\r\nFrom: \"<b>\" <\"'>\"@x>\r\n\r\n" + strings.Repeat(">", 100_000),
	} {
		id := d.put(t, d.account, mailbox.Inbox, raw)
		for _, path := range []string{"/mail/", conversationPage(id, 0), fmt.Sprintf("/mail/c/%d?text=%d", id, id), fmt.Sprintf("/mail/write?reply=%d&all=1", id), fmt.Sprintf("/mail/write?forward=%d", id)} {
			if body := page(t, d.get(path), http.StatusOK); strings.Contains(body, "<script>alert") || t.Failed() {
				t.Fatalf("%s: %s", name, path)
			}
		}
		if w := d.get(messagePath(id) + "/source"); w.Body.String() != raw {
			t.Errorf("%s: the source differs", name)
		}
	}
}

// No form does anything without the session's token: the dashboard sees to that, given that all have it.
func TestForms(t *testing.T) {
	d := open(t)
	for _, path := range []string{"/mail/act", "/mail/undo", "/mail/write", "/mail/folders", "/mail/settings", "/mail/settings/alias"} {
		w := httptest.NewRecorder()
		d.dashboard().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// BenchmarkInbox draws the first page of a folder of 100,000 messages.
func BenchmarkInbox(b *testing.B) {
	d := open(b)
	d.put(b, d.account, mailbox.Inbox, mailFrom("Bob <bob@oak>", "1@oak", "One of many", 0, nil, "", "x"))
	err := d.Store().Update(b.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
			INSERT INTO mail_contents (blob, size, message_id, sent, summary, indexed, thread, snippet)
			SELECT c.blob, c.size, 'n' || i, c.sent, c.summary, 1, 1000000 + i / 3, 'first words' FROM n, mail_contents c WHERE c.id = 1;
			INSERT INTO mail_messages (folder, uid, content, flags, modseq, received, zone, size) SELECT 1, id, id, 0, 2, 1700000000 + id, 0, 100 FROM mail_contents WHERE id > 1`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if w := d.get("/mail/"); w.Code != http.StatusOK || strings.Count(w.Body.String(), "One of many") < pageSize {
			b.Fatal(w.Code)
		}
	}
}
