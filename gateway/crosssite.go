package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

var errForeignPage = errors.New("a page of another site may link here, and nothing else")

// crossSite says why a request that a browser sent for a page of another
// origin must not pass, or returns nil. The origins are those of the site (or
// of the dashboard) that the request is for.
//
// A browser states in Sec-Fetch-* headers, which pages cannot set, where a
// request comes from and what for. Passed are requests of the site's own
// pages, those that no page made ("none": typed, or a bookmark), and of all
// others only top-level navigations that change nothing: a link that a person
// follows. "same-site" is foreign, because localhost on another port is the
// same site. Requests that change something and WebSockets carry Origin in
// every browser; it must be the site's own, whatever else is said.
func crossSite(r *http.Request, origins ...string) error {
	if from := r.Header["Origin"]; len(from) > 0 {
		if len(from) != 1 || !slices.Contains(origins, from[0]) {
			return fmt.Errorf("the request has the Origin %.100q: %w", from[0], errForeignPage)
		}
	}
	site, ok := single(r.Header, "Sec-Fetch-Site")
	switch {
	case !ok:
		return errForeignPage
	case site == "" || site == "same-origin" || site == "none":
		return nil
	}
	mode, _ := single(r.Header, "Sec-Fetch-Mode")
	destination, _ := single(r.Header, "Sec-Fetch-Dest")
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		mode == "navigate" && destination == "document" && len(r.Header["Upgrade"]) == 0 {
		return nil
	}
	return fmt.Errorf("the request is %.20q: %w", site, errForeignPage)
}

// single returns the value of a header field, "" when absent; it reports false
// when there are several, as no browser sends them.
func single(h http.Header, name string) (string, bool) {
	switch values := h[name]; len(values) {
	case 0:
		return "", true
	case 1:
		return values[0], true
	}
	return "", false
}
