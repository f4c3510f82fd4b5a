package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestCrossSite is the whole matrix of what a browser may say about a request
// for http://maple--home.localhost:8080.
func TestCrossSite(t *testing.T) {
	const own = "http://maple--home.localhost:8080"
	foreign := []string{"null", "", "https://evil.example", "http://oak--home.localhost:8080", "http://localhost:8080",
		"http://localhost:3000", "http://maple--home.localhost", "https://maple--home.localhost:8080",
		"http://maple--home.localhost:8080/", "http://maple--home.localhost:80800"}
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"}
	sites := []string{"", "none", "same-origin", "same-site", "cross-site", "new-value"}
	modes := []string{"", "navigate", "no-cors", "cors", "same-origin", "websocket"}
	destinations := []string{"", "document", "iframe", "frame", "embed", "object", "empty", "image", "script", "websocket"}
	check := func(method, site, mode, destination, origin string, upgrade, want bool) {
		t.Helper()
		r := httptest.NewRequest(method, own+"/", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if origin != "absent" {
			r.Header.Set("Origin", origin)
		}
		if upgrade {
			r.Header.Set("Upgrade", "websocket")
		}
		if err := crossSite(r, own); (err == nil) != want {
			t.Errorf("%s site=%q mode=%q dest=%q origin=%q upgrade=%v: %v, want pass=%v", method, site, mode, destination, origin, upgrade, err, want)
		}
	}
	for _, method := range methods {
		for _, site := range sites {
			for _, mode := range modes {
				for _, destination := range destinations {
					for _, upgrade := range []bool{false, true} {
						ours := site == "" || site == "none" || site == "same-origin"
						link := (method == "GET" || method == "HEAD") && mode == "navigate" && destination == "document" && !upgrade
						check(method, site, mode, destination, "absent", upgrade, ours || link)
						check(method, site, mode, destination, own, upgrade, ours || link)
						for _, origin := range foreign {
							check(method, site, mode, destination, origin, upgrade, false)
						}
					}
				}
			}
		}
	}
}

func TestCrossSiteTwice(t *testing.T) {
	const own = "http://localhost:8080"
	for _, h := range []http.Header{
		{"Origin": {own, "https://evil.example"}},
		{"Origin": {own, own}},
		{"Sec-Fetch-Site": {"same-origin", "cross-site"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate", "cors"}, "Sec-Fetch-Dest": {"document"}},
	} {
		if crossSite(&http.Request{Method: "GET", Header: h}, own) == nil {
			t.Errorf("%v passes", h)
		}
	}
}

// TestCrossSiteServed has the verdict hold for sites, dashboard and PAC file,
// and for requests by the proxy.
func TestCrossSiteServed(t *testing.T) {
	g := newGroup()
	reached := false
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })
	g.site(t, "maple", 80, handler)
	g.site(t, "maple", 3000, handler)
	r := start(t, g, handler)
	dashboard := origin("localhost", r.webPort)
	proxied := r.proxyClient()
	for _, test := range []struct {
		client *http.Client
		url    string
		fields []string
		status int
	}{
		{r.client(), r.origin("maple"), []string{"Sec-Fetch-Site", "same-site"}, 403},
		{r.client(), r.origin("maple"), []string{"Origin", dashboard}, 403},
		{r.client(), r.origin("maple"), []string{"Sec-Fetch-Site", "same-origin", "Origin", r.origin("maple")}, 200},
		{r.client(), dashboard, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{r.client(), dashboard, []string{"Origin", r.origin("maple")}, 403},
		{r.client(), dashboard, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{r.client(), dashboard, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{r.client(), dashboard, nil, 200},
		{proxied, "http://maple.home.kith.alt/", []string{"Origin", "https://evil.example"}, 403},
		{proxied, "http://maple.home.kith.alt/", []string{"Origin", "http://maple.home.kith.alt"}, 200},
		{proxied, "http://maple.home.kith.alt/", []string{"Origin", r.origin("maple")}, 200},
		{proxied, "http://maple.home.kith.alt/", []string{"Origin", "http://oak.home.kith.alt"}, 403},
		{proxied, "http://maple/", []string{"Origin", "http://maple"}, 200},
		{proxied, "http://maple.home.kith.alt/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403},
		{proxied, "http://maple.home.kith.alt:3000/", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{proxied, "http://maple.home.kith.alt:3000/", []string{"Origin", "http://maple.home.kith.alt"}, 403},
		{proxied, "http://maple.home.kith.alt:3000/", []string{"Origin", "http://maple.home.kith.alt:3000"}, 200},
	} {
		reached = false
		response := get(t, test.client, test.url, test.fields...)
		if body(t, response); response.StatusCode != test.status || reached != (test.status == 200) {
			t.Errorf("%s %v: %d, reached %v; want %d", test.url, test.fields, response.StatusCode, reached, test.status)
		}
	}
}
