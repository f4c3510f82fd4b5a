package web

import (
	"embed"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/web/static"
	"kith.alt/kith/ui"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates of visitors' pages and of the screens.
var pages = ui.Parse(templateFiles, "templates/*.html")

// showPage writes a page for visitors.
func (w *web) showPage(rw http.ResponseWriter, r *http.Request, status int, page ui.Page) {
	showPage(rw, r, w.static, w.host.Name(), status, page)
}

// showPage writes a page for visitors of a host's site. It refers to nothing
// else, as the site is its owner's to fill.
func showPage(rw http.ResponseWriter, r *http.Request, server *static.Server, name kith.Name, status int, page ui.Page) {
	rw, done := server.Coded(rw, r)
	defer done()
	page.Alone = true
	ui.Write(rw, r.WithContext(ui.WithFrame(r.Context(), ui.Frame{Host: name.Host, Group: name.Group})), status, page)
}

// showSample welcomes visitors as long as nothing is published at the top.
func (w *web) showSample(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		rw.Header().Set("Allow", "GET, HEAD")
		w.showError(rw, r, http.StatusMethodNotAllowed)
		return
	case r.URL.Path != "/" && r.URL.Path != "":
		w.showError(rw, r, http.StatusNotFound)
		return
	}
	name := w.host.Name()
	var links []ui.Entry
	if c := w.board.content(); c != nil {
		for _, place := range c.places {
			links = append(links, ui.Entry{Href: escaped(place.at) + "/", Title: place.at})
		}
	}
	slices.SortFunc(links, func(a, b ui.Entry) int { return strings.Compare(a.Title, b.Title) })
	w.showPage(rw, r, http.StatusOK, ui.Page{
		Title: "Welcome to " + name.Host,
		Lead:  fmt.Sprintf("A computer of the group %s. What it shows is for members of the group, and for nobody else.", name.Group),
		Body: pages.Body("sample.html", struct {
			Host  string
			Links []ui.Entry
		}{name.Host, links}),
	})
}

// showListing shows a folder without index.html.
func (w *web) showListing(rw http.ResponseWriter, r *http.Request, listing static.Listing) {
	w.showPage(rw, r, http.StatusOK, listingPage(w.host.Name().Host, listing, true))
}

// listingPage is a folder of a host's site. When files changed is known only
// where they are dated.
func listingPage(host string, listing static.Listing, dated bool) ui.Page {
	title, back := host, ui.Entry{}
	if folder := strings.TrimSuffix(listing.Path, "/"); folder != "" {
		title = path.Base(folder)
		above := path.Dir(folder)
		if folder == listing.At {
			above = "/" // what is between is not published
		}
		back = ui.Entry{Href: escaped(strings.TrimSuffix(above, "/")) + "/", Title: path.Base(above)}
		if above == "/" {
			back.Title = host
		}
	}
	folders := 0
	for _, e := range listing.Entries {
		if e.Dir {
			folders++
		}
	}
	return ui.Page{
		Title: title, Back: back,
		Body: pages.Body("listing.html", struct {
			static.Listing
			Folders, Files int
			Dated          bool
		}{listing, folders, len(listing.Entries) - folders, dated}),
	}
}

// showError explains a status to a visitor.
func (w *web) showError(rw http.ResponseWriter, r *http.Request, status int) {
	host := w.host.Name().Host
	var title, text string
	switch status {
	case http.StatusForbidden:
		title, text = "This is not open", fmt.Sprintf("%s has something here, but may not read it itself. Its owner can change the permissions of the file.", host)
	case http.StatusNotFound:
		title, text = "Nothing is here", fmt.Sprintf("%s has no page at %.200s. It may have moved, or the address has a slip in it.", host, r.URL.Path)
	case http.StatusMethodNotAllowed:
		title, text = "This can only be read", fmt.Sprintf("This part of %s's site takes no %.20s requests.", host, r.Method)
	case http.StatusNotAcceptable:
		title, text = "Not in that form", "Your program accepts none of the forms in which this can be sent: as it is, gzip, zstd."
	case http.StatusServiceUnavailable:
		title, text = "This folder is away", fmt.Sprintf("The folder that %s shows here is not there at the moment. It may be on a disk that is not connected; it is shown again once it is back.", host)
	default:
		title, text = "Something went wrong on "+host, "What you asked for could not be read. Its owner finds the reason in the log of kith."
	}
	w.showPage(rw, r, status, ui.Page{Title: title, Lead: text, Body: pages.Body("error.html", nil)})
}

// showServiceDown says that the program behind an exposed port is silent.
func (w *web) showServiceDown(rw http.ResponseWriter, r *http.Request, port uint16) {
	host := w.host.Name().Host
	w.showPage(rw, r, http.StatusBadGateway, ui.Page{
		Title: "The program here does not answer",
		Lead: fmt.Sprintf("This part of %s's site comes from a program on port %d of %s, and nothing answers there at the moment. Its owner can start it again.",
			host, port, host),
		Body: pages.Body("error.html", nil),
	})
}

func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }
