package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
)

// A Page is what an application shows.
type Page struct {
	Title  string  // heading, and title of the window
	Window string  // another title of the window; may be empty
	Lead   string  // one sentence below the heading; may be empty
	Active string  // Href of the rail entry that the page belongs to
	Tabs   []Entry // sister pages, as links below the heading; may be empty
	Tab    string  // Href of the one of Tabs that this page is
	Action Entry   // the one primary action, beside the heading; may be empty
	Back   Entry   // a link to the page above; may be empty
	Body   Body
	Live   string // address of a stream that keeps the page up to date; may be empty
	Plain  bool   // heading and body only, as for signing in
	Frames bool   // the body has frames that show documents of this host

	// Alone makes a page that refers to nothing: no rail, no modules, its
	// style inside. It can be served on any origin.
	Alone bool
}

// An Entry is a link with an icon.
type Entry struct {
	Href  string
	Title string
	Icon  string // see icons.go
	Count int    // of what is new there; in the rail only
}

// A Frame is what surrounds every page of one session.
type Frame struct {
	Host    string // this host's short name
	Group   string
	Awake   int    // members awake, this host included
	Members int    // members in all
	Account string // who is signed in
	Rail    []Entry
	CSRF    string // the session's token
	SignOut string // where the sign-out form posts to; "" for none
}

// Presence says who is awake, in a few words.
func (f Frame) Presence() string {
	if f.Members == 1 {
		return "a group of one"
	}
	return fmt.Sprintf("%d of %d awake", f.Awake, f.Members)
}

type frameKey struct{}

// WithFrame returns a context whose pages stand in frame.
func WithFrame(ctx context.Context, frame Frame) context.Context {
	return context.WithValue(ctx, frameKey{}, frame)
}

// FrameOf returns the frame of ctx, or an empty one.
func FrameOf(ctx context.Context) Frame {
	frame, _ := ctx.Value(frameKey{}).(Frame)
	return frame
}

// Account returns who is signed in, "" for nobody.
func Account(r *http.Request) string { return FrameOf(r.Context()).Account }

// CSRFField is the name of the form field that carries a session's token.
const CSRFField = "csrf"

// CSRF returns the hidden field that every form with method POST needs.
func CSRF(r *http.Request) template.HTML {
	return template.HTML(`<input type="hidden" name="` + CSRFField + `" value="` +
		template.HTMLEscapeString(FrameOf(r.Context()).CSRF) + `">`)
}

// A Body writes the part of a page between its heading and its end.
type Body func(w io.Writer) error

// Text is a body of one paragraph.
func Text(text string) Body {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, `<p class="lead">`+template.HTMLEscapeString(text)+`</p>`)
		return err
	}
}

//go:embed templates/page.html
var shellFiles embed.FS

var shell = Parse(shellFiles, "templates/page.html")

// policy allows what ui's own files need, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; media-src 'self'; " +
	"style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// framesPolicy allows frames that show documents of the same host.
const framesPolicy = policy + "; frame-src 'self'"

// alonePolicy allows the one style sheet that a page with Alone holds.
var alonePolicy = func() string {
	sum := sha256.Sum256([]byte(aloneStyle))
	return "default-src 'none'; img-src 'self'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// Protect sets the headers that every answer of the dashboard carries.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, a form is sent with the Origin "null"
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// Write answers r with page. A body that fails becomes a short page with
// status 500, and nothing of it is sent.
func Write(w http.ResponseWriter, r *http.Request, status int, page Page) {
	var body bytes.Buffer
	if page.Body != nil {
		if err := page.Body(&body); err != nil {
			status = http.StatusInternalServerError
			page = Page{Title: "This page has a fault", Active: page.Active, Alone: page.Alone}
			body.Reset()
			_ = Text("It could not be drawn. The fault is in kith, not in what you did: " + err.Error())(&body)
		}
	}
	theme := ""
	if cookie, err := r.Cookie("kith_theme"); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		theme = cookie.Value
	}
	var out bytes.Buffer
	err := shell.Body("page.html", struct {
		Page
		Frame
		Theme   string
		Content template.HTML
		Flash   *flash
		Token   template.HTML
		Style   template.CSS
	}{page, FrameOf(r.Context()), theme, template.HTML(body.String()), takeFlash(w, r, page.Alone), CSRF(r), template.CSS(aloneStyle)})(&out)
	h := w.Header()
	Protect(h)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	switch {
	case page.Alone:
		h.Set("Content-Security-Policy", alonePolicy)
	case page.Frames:
		h.Set("Content-Security-Policy", framesPolicy)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = out.WriteTo(w) // the reader has gone: nobody is left to tell
	}
}

// Message answers r with a page of one paragraph and a way home.
func Message(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	page := Page{Title: title, Lead: text}
	if len(FrameOf(r.Context()).Rail) > 0 {
		page.Body = func(w io.Writer) error {
			_, err := io.WriteString(w, `<p><a class="button" href="/">Home</a></p>`)
			return err
		}
	}
	Write(w, r, status, page)
}
