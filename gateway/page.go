package gateway

import (
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"

	"kith.alt/kith/ui"
)

// A page is what the gateway itself has to say, where a site cannot.
type page struct {
	Title string
	Text  string
	Link  string // where to go instead, or ""
	Home  string // the dashboard, which browsers are offered for want of a Link, or ""
}

// acceptsHTML tells browsers that ask for a page from other programs.
func acceptsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// writePage answers with the page, as HTML for browsers and as text for other
// programs.
func writePage(w http.ResponseWriter, r *http.Request, status int, p page) {
	if acceptsHTML(r) {
		// The cookies are the site's that was asked for: not the page's business.
		r = r.Clone(r.Context())
		r.Header.Del("Cookie")
		ui.Write(w, r, status, ui.Page{Title: p.Title, Lead: p.Text, Body: p.link(), Alone: true})
		return
	}
	text := p.Title + ": " + p.Text + "\n"
	if p.Link != "" {
		text += "Open " + p.Link + " instead.\n"
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(len(text)))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func (p page) link() ui.Body {
	link, text := p.Link, p.Link
	if link == "" {
		link, text = p.Home, "the dashboard"
	}
	if link == "" {
		return nil
	}
	return func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `<p class="actions"><a class="button" href="%s">Open %s</a></p>`,
			template.HTMLEscapeString(link), template.HTMLEscapeString(text))
		return err
	}
}
