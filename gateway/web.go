package gateway

import (
	"fmt"
	"net/http"
	"strings"

	"kith.alt/kith"
)

// handleWeb answers requests on the web gateway's port: the Host decides.
func (g *Gateway) handleWeb(w http.ResponseWriter, r *http.Request) {
	host, port, ok := splitHost(r.Host)
	if !ok || port != g.config.HTTPPort() {
		g.misdirected(w, r)
		return
	}
	public := origin(host, port)
	if host == dashboardHost {
		g.handleDashboard(w, r, public)
		return
	}
	label, ok := strings.CutSuffix(host, localDomain)
	if !ok {
		g.misdirected(w, r)
		return
	}
	name, err := parseSiteLabel(label)
	if err != nil {
		g.misdirected(w, r)
		return
	}
	if !g.admit(w, r, public) {
		return
	}
	s, err := g.lookUp(name)
	if err != nil {
		g.fail(w, r, shortName(name), webPort, err)
		return
	}
	(&exchange{Gateway: g, site: s, port: webPort, origins: []string{public}, local: true}).serve(w, r)
}

func (g *Gateway) handleDashboard(w http.ResponseWriter, r *http.Request, public string) {
	switch {
	case !g.admit(w, r, public):
	case r.URL.Path == pacPath:
		g.servePAC(w, r)
	case g.config.Dashboard == nil:
		http.NotFound(w, r)
	default:
		g.config.Dashboard.ServeHTTP(w, r)
	}
}

// admit answers requests that must not pass, and reports whether the request
// may. The origins are those of the site that it is for.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, origins ...string) bool {
	if r.Method == http.MethodConnect {
		http.Error(w, "CONNECT is for the proxy's port.", http.StatusMethodNotAllowed)
		return false
	}
	if err := crossSite(r, origins...); err != nil {
		g.crossSites.Add(1)
		w.Header().Set("Proxy-Status", "kith; error=http_request_denied")
		g.config.Log.Debug("request refused", "method", r.Method, "host", r.Host, "err", err)
		writePage(w, r, http.StatusForbidden, page{
			Title: "Refused",
			Text:  "Another site may lead here by a link, and do nothing else. If it was you who pressed a button, open the page itself and press it there.",
			Home:  g.dashboard(),
		})
		return false
	}
	return true
}

// misdirected answers requests whose Host is not ours (RFC 9110 15.5.20): a
// wrong link, or a page of the Internet that had its own name lead here.
func (g *Gateway) misdirected(w http.ResponseWriter, r *http.Request) {
	g.wrongHost.Add(1)
	link := g.dashboard()
	if host, _, ok := splitHost(r.Host); ok && strings.HasSuffix(host, kithDomain) {
		if name, err := g.fullName(host); err == nil {
			if s, err := g.lookUp(name); err == nil {
				link = g.siteOrigin(s) + "/"
			}
		}
	}
	writePage(w, r, http.StatusMisdirectedRequest, page{
		Title: "This address leads nowhere",
		Text:  fmt.Sprintf("Nothing is served here under the name %.100q.", r.Host),
		Link:  link,
	})
}

// lookUp finds the host that has a full name.
func (g *Gateway) lookUp(name string) (site, error) {
	id, err := kith.ParseID(strings.TrimSuffix(name, kithDomain))
	if err != nil {
		if id, err = g.config.Resolve(name); err != nil {
			return site{}, err
		}
	}
	return site{name: name, id: id}, nil
}

// dashboard returns where browsers on this host find the dashboard.
func (g *Gateway) dashboard() string { return origin(dashboardHost, g.config.HTTPPort()) + "/" }

// siteOrigin returns where browsers on this host find a site.
func (g *Gateway) siteOrigin(s site) string {
	return origin(siteLabel(s.name, s.id)+localDomain, g.config.HTTPPort())
}

// shortName is what people call the host that has a full name.
func shortName(name string) string {
	short, _, _ := strings.Cut(name, ".")
	return short
}
