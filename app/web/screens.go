package web

import (
	"fmt"
	"html/template"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/ui"
)

// Where the dashboard shows the screens.
const (
	screenPath    = "/web/"
	publishScreen = screenPath + "publish"
	exposeScreen  = screenPath + "expose"
)

func (w *web) screens() []kith.Screen {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.screenSites)
	mux.HandleFunc("GET /publish", func(rw http.ResponseWriter, r *http.Request) { w.screenPublish(rw, r, nil) })
	mux.HandleFunc("GET /expose", func(rw http.ResponseWriter, r *http.Request) { w.screenExpose(rw, r, nil) })
	mux.HandleFunc("POST /publish", w.formPublish)
	mux.HandleFunc("POST /unpublish", w.formUnpublish)
	mux.HandleFunc("POST /expose", w.formExpose)
	mux.HandleFunc("POST /unexpose", w.formUnexpose)
	mux.HandleFunc("POST /forget", w.formForget)
	mux.HandleFunc("POST /keep", w.formKeep)
	return []kith.Screen{{Path: "/", Title: "Web", Icon: "globe", Handler: mux}}
}

// A neighbour is another member with its site.
type neighbour struct {
	Host, Link string
	Online     bool
	Kept       bool // a copy of the site, or of a part of it, is here
}

// screenSites shows what is published, what is exposed, and where others'
// sites are.
func (w *web) screenSites(rw http.ResponseWriter, r *http.Request) {
	o, err := w.overview(r.Context())
	if err != nil {
		ui.Message(rw, r, http.StatusServiceUnavailable, "Web", kith.Sentence(err))
		return
	}
	name := w.host.Name()
	var neighbours []neighbour
	for _, m := range w.host.Members() {
		if m.ID != w.host.ID() {
			kept := slices.ContainsFunc(o.Kept, func(k Kept) bool { return k.ID == m.ID && k.Have > 0 })
			neighbours = append(neighbours, neighbour{m.Host, siteLink(r, m.Host, name.Group), m.Online, kept})
		}
	}
	ui.Write(rw, r, http.StatusOK, ui.Page{
		Title:  "Web",
		Lead:   "What " + name.Host + " shows to " + name.Group + ", and what the others show.",
		Active: screenPath,
		Action: ui.Entry{Href: publishScreen, Title: "Publish a folder", Icon: "publish"},
		Body: pages.Body("sites.html", sitesPage{
			Overview: o, Name: name, Link: siteLink(r, name.Host, name.Group), Neighbours: neighbours, CSRF: ui.CSRF(r),
			SiteOf: func(host string) string { return siteLink(r, host, name.Group) },
		}),
	})
}

// sitesPage is what the first screen shows.
type sitesPage struct {
	Overview
	Name       kith.Name
	Link       string // to this host's site, for a browser on this computer
	Neighbours []neighbour
	CSRF       template.HTML
	SiteOf     func(host string) string // the same of another host
}

// LinkTo returns the link to a path of this host's site.
func (p sitesPage) LinkTo(path string) string {
	return strings.TrimSuffix(p.Link, "/") + escaped(strings.TrimSuffix(path, "/")) + "/"
}

// KeptLink returns the link to a site that is kept here.
func (p sitesPage) KeptLink(k Kept) string {
	return strings.TrimSuffix(p.SiteOf(k.Host), "/") + escaped(strings.TrimSuffix(k.Path, "/")) + "/"
}

// siteLink returns where a browser on this computer reads a host's site: at
// the gateway, which is where the dashboard is.
func siteLink(r *http.Request, host, group string) string {
	authority := host + "--" + group + ".localhost"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		authority = net.JoinHostPort(authority, port)
	}
	return "http://" + authority + "/"
}

// screenPublish shows the form for a folder, with what was wrong with it.
func (w *web) screenPublish(rw http.ResponseWriter, r *http.Request, problem error) {
	at := r.FormValue("path")
	if at == "" {
		at = "/"
	}
	w.screenForm(rw, r, "publish.html", "Publish a folder", problem,
		ui.Field{Name: "dir", Label: "Folder", Value: r.FormValue("dir"), Required: true, MaxLength: 4096,
			Hint: "Its whole path on this computer, such as " + filepath.Join(folders.Home(), "my-site") + "."},
		ui.Field{Name: "path", Label: "Place on your site", Value: at, Required: true, MaxLength: maxPath,
			Hint: "/ is the site itself; /holidays is a part of it."},
		ui.Field{Name: "copies", Label: "While this computer sleeps", Value: copiesChoice(r), Radio: true, Options: []ui.Option{
			{Value: copiesAllowed, Title: "Members who have visited show their copies to each other", Hint: "The folder, up to " + ui.Size(maxShared) + ", is also a share in the group's library."},
			{Value: copiesOff, Title: "It cannot be read", Hint: "Members keep no copies."},
		}})
}

func copiesChoice(r *http.Request) string {
	if r.FormValue("copies") == copiesOff {
		return copiesOff
	}
	return copiesAllowed
}

func (w *web) formPublish(rw http.ResponseWriter, r *http.Request) {
	site, err := w.publish(r.Context(), r.FormValue("path"), folders.Expand(r.FormValue("dir")), copiesChoice(r) == copiesOff)
	if err != nil {
		w.screenPublish(rw, r, err)
		return
	}
	text := fmt.Sprintf("%s is published.", site.Dir)
	if site.Replaced != "" {
		text += fmt.Sprintf(" It takes the place of %s.", site.Replaced)
	}
	ui.Redirect(rw, r, screenPath, text)
}

func (w *web) formUnpublish(rw http.ResponseWriter, r *http.Request) {
	site, err := w.unpublish(r.Context(), r.FormValue("path"))
	if err != nil {
		ui.RedirectError(rw, r, screenPath, kith.Sentence(err))
		return
	}
	ui.Redirect(rw, r, screenPath, fmt.Sprintf("%s is no longer published. Its files are as they were.", site.Dir))
}

// screenExpose shows the form for a port, with what was wrong with it.
func (w *web) screenExpose(rw http.ResponseWriter, r *http.Request, problem error) {
	w.screenForm(rw, r, "expose.html", "Expose a port", problem,
		ui.Field{Name: "local", Label: "Port on this computer", Type: "number", Min: "1", Max: "65535", Value: r.FormValue("local"), Required: true,
			Hint: "Where the program listens, such as 3000."},
		ui.Field{Name: "port", Label: "Port for members", Type: "number", Min: strconv.Itoa(kith.FirstProgramPort), Max: "65535", Value: r.FormValue("port"),
			Hint: "The same if left empty."},
		ui.Field{Name: "name", Label: "Name on your site", Value: r.FormValue("name"), MaxLength: kith.MaxLabel,
			Hint: "For programs that speak HTTP: wiki shows it below /wiki/, too. May stay empty."})
}

func (w *web) formExpose(rw http.ResponseWriter, r *http.Request) {
	e, err := w.exposeForm(r)
	if err != nil {
		w.screenExpose(rw, r, err)
		return
	}
	text := fmt.Sprintf("Members reach port %d of this computer at %s.", e.Target, e.Address)
	if !e.OK {
		text += " It is " + e.State + "."
	}
	ui.Redirect(rw, r, screenPath, text)
}

func (w *web) exposeForm(r *http.Request) (Exposed, error) {
	target, err := parsePort(r.FormValue("local"))
	if err != nil {
		return Exposed{}, err
	}
	port := target
	if text := r.FormValue("port"); text != "" {
		if port, err = parsePort(text); err != nil {
			return Exposed{}, err
		}
	}
	return w.expose(r.Context(), target, port, strings.TrimSpace(r.FormValue("name")))
}

func (w *web) formUnexpose(rw http.ResponseWriter, r *http.Request) {
	port, err := parsePort(r.FormValue("port"))
	if err == nil {
		_, err = w.unexpose(r.Context(), port)
	}
	if err != nil {
		ui.RedirectError(rw, r, screenPath, kith.Sentence(err))
		return
	}
	ui.Redirect(rw, r, screenPath, fmt.Sprintf("Members no longer reach port %d.", port))
}

func (w *web) formForget(rw http.ResponseWriter, r *http.Request) {
	if err := w.copies.forget(r.Context(), r.FormValue("host"), r.FormValue("path")); err != nil {
		ui.RedirectError(rw, r, screenPath, kith.Sentence(err))
		return
	}
	ui.Redirect(rw, r, screenPath, "The copy is deleted here. The next visit brings it back, as long as visited sites are kept.")
}

func (w *web) formKeep(rw http.ResponseWriter, r *http.Request) {
	keep := r.FormValue("keep") == "yes"
	if err := w.copies.setKeep(r.Context(), keep); err != nil {
		ui.RedirectError(rw, r, screenPath, kith.Sentence(err))
		return
	}
	text := "Sites that you visit are not kept any more."
	if keep {
		text = "Sites that you visit are kept from now on."
	}
	ui.Redirect(rw, r, screenPath, text)
}

// screenForm shows a form of fields in the template name.
func (w *web) screenForm(rw http.ResponseWriter, r *http.Request, name, title string, problem error, fields ...ui.Field) {
	status, text := http.StatusOK, ""
	if problem != nil {
		status, text = http.StatusUnprocessableEntity, kith.Sentence(problem)
	}
	ui.Write(rw, r, status, ui.Page{
		Title: title, Active: screenPath,
		Back: ui.Entry{Href: screenPath, Title: "Web"},
		Body: pages.Body(name, struct {
			Problem string
			Fields  []ui.Field
			CSRF    template.HTML
		}{text, fields, ui.CSRF(r)}),
	})
}
