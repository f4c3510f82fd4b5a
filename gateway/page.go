package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
)

// A page is what the gateway itself has to say, where a site cannot.
type page struct {
	Title string
	Text  string
	Link  string // where to go instead, or ""
}

const pageStyle = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto 0;padding:0 24px}
h1{font-size:24px;font-weight:600;margin:0 0 8px}p{margin:0 0 16px}`

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>` + pageStyle + `</style>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{with .Link}}<p>Open <a href="{{.}}">{{.}}</a>.</p>
{{end}}</html>
`))

var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'"
}()

// writePage answers with the page, as HTML for browsers and as text for other
// programs.
func writePage(w http.ResponseWriter, r *http.Request, status int, p page) {
	var body bytes.Buffer
	h := w.Header()
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", pagePolicy)
		pageTemplate.Execute(&body, p)
	} else {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&body, "%s: %s\n", p.Title, p.Text)
		if p.Link != "" {
			fmt.Fprintf(&body, "Open %s instead.\n", p.Link)
		}
	}
	h.Set("Content-Length", fmt.Sprint(body.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.Copy(w, &body)
}
