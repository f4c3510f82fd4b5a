package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

// A client is a browser that is signed in, without being one.
type client struct {
	t       *testing.T
	admin   *Admin
	session string
}

func newClient(t *testing.T, node *fakeNode) *client {
	t.Helper()
	dashboard, accounts := newDashboard(node)
	session, err := accounts.NewSession(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, dashboard, session}
}

// request makes a request as the dashboard's own pages cause it.
func (c *client) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:8080"+path, strings.NewReader(form.Encode()))
	if method != "GET" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:8080")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "kith_session", Value: c.session})
	return r
}

func (c *client) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.admin.ServeHTTP(w, r)
	return w
}

func (c *client) get(path string) *httptest.ResponseRecorder {
	return c.do(c.request("GET", path, nil))
}

// post sends a form with the session's token, given as name and value in turn.
func (c *client) post(path string, fields ...string) *httptest.ResponseRecorder {
	form := url.Values{"csrf": {csrfToken(c.session)}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return c.do(c.request("POST", path, form))
}

var (
	postForm = regexp.MustCompile(`(?s)<form[^>]*method="post".*?</form>`)
	elements = regexp.MustCompile(`</?([a-z][a-z0-9]*)[^>]*?(/?)>`)
	ids      = regexp.MustCompile(` id="([^"]*)"`)
)

// checkPage holds a page to what every page keeps.
func checkPage(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Header()
	policy := h.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	body := w.Body.String()
	for _, bad := range []string{" style=", "<style", `href="javascript`, " onclick", "ZgotmplZ", "<no value>", `href=""`, `src=""`, "%!"} {
		if strings.Contains(body, bad) {
			t.Errorf("page contains %q", bad)
		}
	}
	for _, script := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
		if !strings.Contains(script, `src="/-/`) {
			t.Errorf("page contains %s", script)
		}
	}
	seen := make(map[string]bool)
	for _, id := range ids.FindAllStringSubmatch(body, -1) {
		if seen[id[1]] {
			t.Errorf("page has two elements with id %q", id[1])
		}
		seen[id[1]] = true
	}
	var open []string
	void := []string{"meta", "br", "link", "input", "circle", "path", "rect", "ellipse"}
	for _, e := range elements.FindAllStringSubmatch(body, -1) {
		switch name := e[1]; {
		case slices.Contains(void, name) || e[2] == "/":
		case !strings.HasPrefix(e[0], "</"):
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("page closes %s within %v", name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("page leaves open %v", open)
	}
}

func TestPages(t *testing.T) {
	for _, members := range []int{1, 2, 3, 7, 40} {
		c := newClient(t, newFake(members))
		paths := pagePaths(members)
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			t.Run(fmt.Sprint(name, members), func(t *testing.T) {
				w := c.get(paths[name])
				want := http.StatusOK
				if name == "missing" {
					want = http.StatusNotFound
				}
				if w.Code != want {
					t.Fatalf("%s: %d, want %d", paths[name], w.Code, want)
				}
				checkPage(t, w)
				for _, form := range postForm.FindAllString(w.Body.String(), -1) {
					if !strings.Contains(form, `name="csrf" value="`+csrfToken(c.session)+`"`) {
						t.Errorf("form without token: %s", form)
					}
				}
			})
		}
	}
}

// Names, events and findings come from other people's computers.
func TestHostileTextIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script><b onclick='x'>{{.}}`
	n := newFake(7)
	for i := range n.status.Members {
		m := &n.status.Members[i]
		m.Via, m.Carrier, m.Address, m.Site = evil, evil, evil, "javascript:alert(1)"
		if i > 0 {
			m.Host = evil + fmt.Sprint(i)
		}
	}
	n.status.Listeners[0].Error, n.status.Listeners[0].App, n.status.Version = evil, evil, evil
	n.events[0].Text = evil
	n.findings[0] = control.Finding{Level: evil, What: evil, Cause: evil, Remedy: evil}
	n.sockets[0].Peer, n.sockets[0].By = evil, evil
	n.accounts[0].AppPasswords[0].Label = evil
	c := newClient(t, n)
	paths := pagePaths(1)
	paths["member"] = "/members/" + n.status.Members[1].ID.String()
	for _, path := range paths {
		body := c.get(path).Body.String()
		for _, bad := range []string{"<script>alert", "<b onclick", `href="javascript`} {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
	}
}

func TestWithoutSession(t *testing.T) {
	dashboard, _ := newDashboard(newFake(7))
	paths := pagePaths(7)
	paths["stream"] = "/events/home"
	for name, path := range paths {
		for _, cookie := range []string{"", "session-9", strings.Repeat("x", 3000)} {
			r := httptest.NewRequest("GET", "http://localhost:8080"+path, nil)
			if cookie != "" {
				r.AddCookie(&http.Cookie{Name: "kith_session", Value: cookie})
			}
			w := httptest.NewRecorder()
			dashboard.ServeHTTP(w, r)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d", name, w.Code)
			}
			if body := w.Body.String(); strings.Contains(body, "maple") || strings.Contains(body, "linden") || !strings.Contains(body, "start kith again the way you did before") {
				t.Errorf("%s tells strangers too much, or not how to sign in", name)
			}
			checkPage(t, w)
		}
	}
}

func TestWhoMayAsk(t *testing.T) {
	type headers map[string]string
	for _, test := range []struct {
		name   string
		method string
		path   string
		host   string
		h      headers
		want   int
	}{
		{"own page", "GET", "/", "localhost:8080", headers{"Sec-Fetch-Site": "same-origin"}, 200},
		{"address line", "GET", "/", "localhost:8080", headers{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200},
		{"no browser", "GET", "/", "localhost:8080", nil, 200},
		{"loopback address", "GET", "/", "127.0.0.1:8080", nil, 200},
		{"IPv6 loopback", "GET", "/", "[::1]:8080", nil, 200},
		{"rebound name", "GET", "/", "evil.example:8080", nil, 421},
		{"rebound look-alike", "GET", "/", "localhost.evil.example:8080", nil, 421},
		{"other site of the gateway", "GET", "/", "oak--home.localhost:8080", nil, 421},
		{"LAN address", "GET", "/", "192.168.1.2:8080", nil, 421},
		{"link from elsewhere", "GET", "/", "localhost:8080", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"image elsewhere", "GET", "/", "localhost:8080", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		{"frame elsewhere", "GET", "/", "localhost:8080", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		{"fetch from another port", "GET", "/events/home", "localhost:8080", headers{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403},
		{"WebSocket from elsewhere", "GET", "/web/", "localhost:8080", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"}, 403},
		{"old WebSocket from elsewhere", "GET", "/web/", "localhost:8080", headers{"Origin": "http://evil.example"}, 403},
		{"form elsewhere", "POST", "/settings/stop", "localhost:8080", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403},
		{"form on another port", "POST", "/settings/stop", "localhost:8080", headers{"Sec-Fetch-Site": "same-site"}, 403},
		{"old form elsewhere", "POST", "/settings/stop", "localhost:8080", headers{"Origin": "http://evil.example"}, 403},
		{"old form on another port", "POST", "/settings/stop", "localhost:8080", headers{"Origin": "http://localhost:3000"}, 403},
		{"form of a sandbox", "POST", "/settings/stop", "localhost:8080", headers{"Origin": "null"}, 403},
		{"sign-in form elsewhere", "POST", "/signin", "localhost:8080", headers{"Sec-Fetch-Site": "cross-site"}, 403},
		{"own form", "POST", "/settings/stop", "localhost:8080", headers{"Sec-Fetch-Site": "same-origin"}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newFake(7)
			c := newClient(t, n)
			r := c.request(test.method, test.path, url.Values{"csrf": {csrfToken(c.session)}})
			r.Host = test.host
			for _, name := range []string{"Sec-Fetch-Site", "Origin"} {
				r.Header.Del(name)
			}
			for name, value := range test.h {
				r.Header.Set(name, value)
			}
			if test.host != "localhost:8080" {
				r.AddCookie(&http.Cookie{Name: sessionCookie(test.host), Value: c.session})
			}
			w := c.do(r)
			if w.Code != test.want {
				t.Errorf("%d, want %d", w.Code, test.want)
			}
			if test.want >= 400 && n.asked() != "" {
				t.Errorf("it did %s", n.asked())
			}
		})
	}
}

func TestToken(t *testing.T) {
	n := newFake(7)
	c := newClient(t, n)
	for name, change := range map[string]func(*http.Request){
		"none":          func(r *http.Request) {},
		"empty":         func(r *http.Request) { r.Header.Set("X-Kith-CSRF", "") },
		"wrong":         func(r *http.Request) { r.Header.Set("X-Kith-CSRF", "x") },
		"of another":    func(r *http.Request) { r.Header.Set("X-Kith-CSRF", csrfToken("session-7")) },
		"in the query":  func(r *http.Request) { r.URL.RawQuery = "csrf=" + csrfToken(c.session) },
		"the session":   func(r *http.Request) { r.Header.Set("X-Kith-CSRF", c.session) },
		"by PUT":        func(r *http.Request) { r.Method = "PUT" },
		"for an app":    func(r *http.Request) { r.URL.Path = "/web/do" },
		"app by DELETE": func(r *http.Request) { r.URL.Path, r.Method = "/web/do", "DELETE" },
	} {
		r := c.request("POST", "/settings/stop", nil)
		change(r)
		if w := c.do(r); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", name, w.Code)
		}
	}
	if n.asked() != "" {
		t.Errorf("it did %s", n.asked())
	}
	r := c.request("POST", "/settings/stop", nil)
	r.Header.Set("X-Kith-CSRF", csrfToken(c.session))
	if w := c.do(r); w.Code != http.StatusOK || n.asked() != "stop" {
		t.Errorf("in the header: %d, did %q", w.Code, n.asked())
	}
}

func TestWrongMethods(t *testing.T) {
	c := newClient(t, newFake(7))
	for path, method := range map[string]string{
		"/": "POST", "/members/": "DELETE", "/settings/rename": "GET", "/invite": "PUT", "/signout": "GET", "/events/home": "POST",
	} {
		r := c.request(method, path, nil)
		r.Header.Set("X-Kith-CSRF", csrfToken(c.session))
		if w := c.do(r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestApplicationScreens(t *testing.T) {
	c := newClient(t, newFake(7))
	if body := c.get("/web/deep/er").Body.String(); !strings.Contains(body, "GET /deep/er") {
		t.Errorf("prefix is not removed: %s", body)
	}
	if body := c.post("/web/do", "said", "hello").Body.String(); !strings.Contains(body, "POST /do hello") {
		t.Errorf("form does not arrive: %s", body)
	}
	if body := c.get("/web/").Body.String(); !strings.Contains(body, `href="/web/" aria-current="page"`) {
		t.Error("the rail does not show where we are")
	}
}

func TestTooLargeForm(t *testing.T) {
	n := newFake(7)
	c := newClient(t, n)
	if w := c.post("/join", "ticket", strings.Repeat("x", maxForm)); w.Code != http.StatusRequestEntityTooLarge || n.asked() != "" {
		t.Errorf("%d, did %q", w.Code, n.asked())
	}
}

func TestForms(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, test := range []struct {
		name   string
		size   int
		err    error
		path   string
		fields []string
		did    string
		status int
		shows  string
	}{
		{"invite", 7, nil, "/invite", []string{"uses", "3", "expires", "168h", "role", "member"}, "invite 3 168h0m0s member", 200, "kith join kith1"},
		{"invite none", 7, nil, "/invite", []string{"uses", "0", "expires", "24h", "role", "admin"}, "", 422, "A number from 1 to 100"},
		{"invite the world", 7, nil, "/invite", []string{"uses", "1e9", "expires", "24h", "role", "admin"}, "", 422, `value="1e9"`},
		{"invite for ever", 7, nil, "/invite", []string{"uses", "1", "expires", "99999h", "role", "admin"}, "", 422, "One of these."},
		{"invite a king", 7, nil, "/invite", []string{"uses", "1", "expires", "24h", "role", "king"}, "", 422, "One of these."},
		{"invite as a mere member", 7, kith.Denied, "/invite", []string{"uses", "1", "expires", "24h", "role", "admin"}, "invite 1 24h0m0s admin", 403, "Not allowed."},
		{"join", 1, nil, "/join", []string{"ticket", " kith1abc\r\n def "}, "join kith1abcdef", 303, ""},
		{"join nothing", 1, nil, "/join", []string{"ticket", " "}, "", 422, "Paste a ticket first."},
		{"join with an old ticket", 1, fmt.Errorf("the ticket expired on 2 January: %w", kith.Expired), "/join", []string{"ticket", "kith1abc"}, "join kith1abc", 422, "The ticket expired on 2 January."},
		{"join twice", 7, nil, "/join", []string{"ticket", "kith1abc"}, "", 409, "leave this one first"},
		{"join with a book", 1, nil, "/join", []string{"ticket", strings.Repeat("x", 3000)}, "", 422, "too long"},
		{"leave", 7, nil, "/leave", []string{"confirm", " Home "}, "leave", 303, ""},
		{"leave the wrong one", 7, nil, "/leave", []string{"confirm", "work"}, "", 422, "That is not its name."},
		{"trust", 7, nil, "/members/linden/trust", nil, "trust linden", 303, ""},
		{"trust nobody", 7, nil, "/members/nobody/trust", nil, "", 404, "is called nobody."},
		{"revoke", 7, nil, "/members/linden/revoke", []string{"confirm", "linden"}, "revoke linden", 303, ""},
		{"revoke by key", 7, nil, "/members/" + idOf("linden").String() + "/revoke", []string{"confirm", "linden"}, "revoke linden", 303, ""},
		{"revoke the wrong one", 7, nil, "/members/linden/revoke", []string{"confirm", "oak"}, "", 422, "That is not its name."},
		{"revoke oneself", 7, nil, "/members/maple/revoke", []string{"confirm", "maple"}, "", 422, "leave the group"},
		{"revoke nobody", 7, nil, "/members/nobody/revoke", []string{"confirm", "nobody"}, "", 404, "is called nobody."},
		{"promote", 7, nil, "/members/elm/admin", []string{"admin", "yes"}, "admin elm true", 303, ""},
		{"demote", 7, nil, "/members/elm/admin", []string{"admin", "no"}, "admin elm false", 303, ""},
		{"rename both", 7, nil, "/settings/rename", []string{"host", "Acer", "group", "grove"}, `rename "acer" "grove"`, 303, ""},
		{"rename host", 7, nil, "/settings/rename", []string{"host", "acer", "group", "home"}, `rename "acer" ""`, 303, ""},
		{"rename nothing", 7, nil, "/settings/rename", []string{"host", "maple", "group", "home"}, "", 303, ""},
		{"rename badly", 7, nil, "/settings/rename", []string{"host", "a--b", "group", "home"}, "", 422, "two hyphens"},
		{"rename to a taken name", 7, kith.Exists, "/settings/rename", []string{"host", "elm", "group", "home"}, `rename "elm" ""`, 409, "Exists already."},
		{"relay less", 7, nil, "/settings/relay", []string{"on", "yes", "rate", "0.5", "daily", " 2 ", "streams", "5"}, "configure {Off:false BytesPerSecond:524288 BytesPerDay:2147483648 Streams:5}", 303, ""},
		{"relay nothing", 7, nil, "/settings/relay", []string{"on", "no", "rate", "2", "daily", "10", "streams", "64"}, "configure {Off:true BytesPerSecond:2097152 BytesPerDay:10737418240 Streams:64}", 303, ""},
		{"relay too much", 7, nil, "/settings/relay", []string{"on", "yes", "rate", "NaN", "daily", "much", "streams", "0"}, "", 422, "A number from 1 to"},
		{"relay perhaps", 7, nil, "/settings/relay", []string{"on", "perhaps", "rate", "2", "daily", "10", "streams", "64"}, "", 422, "One of these."},
		{"add account", 7, nil, "/settings/accounts", []string{"name", "Grace"}, "account grace", 303, ""},
		{"add bad account", 7, nil, "/settings/accounts", []string{"name", "grace hopper"}, "", 422, "value=\"grace hopper\""},
		{"app password", 7, nil, "/settings/app-passwords", []string{"label", "mail"}, "app password ada mail", 200, "amber-finch"},
		{"nameless app password", 7, nil, "/settings/app-passwords", []string{"label", ""}, "", 422, "which program"},
		{"app password with a long name", 7, fmt.Errorf("the label is too long: %w", kith.Invalid), "/settings/app-passwords", []string{"label", long}, "app password ada " + long, 422, "The label is too long."},
		{"remove app password", 7, nil, "/settings/app-passwords/remove", []string{"id", "1"}, "remove app password ada 1", 303, ""},
		{"password", 7, nil, "/settings/password", []string{"password", goodPassword}, "password ada 21", 303, ""},
		{"no password", 7, nil, "/settings/password", []string{"password", ""}, "", 422, "Type a password"},
		{"short password", 7, fmt.Errorf("it has 5 characters, at least 10: %w", kith.Invalid), "/settings/password", []string{"password", "short"}, "password ada 5", 422, "at least 10."},
		{"remove password", 7, nil, "/settings/password", []string{"remove", "yes"}, "password ada 0", 303, ""},
		{"stop", 7, nil, "/settings/stop", nil, "stop", 200, "goes to sleep"},
		{"fault", 7, errors.New("disk on fire"), "/settings/stop", nil, "stop", 500, "Disk on fire."},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newFake(test.size)
			n.err = test.err
			w := newClient(t, n).post(test.path, test.fields...)
			if w.Code != test.status || n.asked() != test.did {
				t.Errorf("status %d, did %q; want %d, %q", w.Code, n.asked(), test.status, test.did)
			}
			if !strings.Contains(w.Body.String(), test.shows) {
				t.Errorf("page lacks %q:\n%s", test.shows, w.Body)
			}
			if w.Code != http.StatusSeeOther {
				checkPage(t, w)
			}
		})
	}
}

func TestReach(t *testing.T) {
	for _, test := range []struct {
		address    string
		invitation control.Invitation
		want       string
	}{
		{"", control.Invitation{}, "accepts no connections"},
		{"127.0.0.1:4747", control.Invitation{}, "on this computer only"},
		{"[::1]:4747", control.Invitation{}, "on this computer only"},
		{"0.0.0.0:4747", control.Invitation{}, "not known to be reachable"},
		{"[::]:4747", control.Invitation{Open: true}, "anywhere"},
		{"[::]:4747", control.Invitation{Through: []string{"elm", "oak"}}, "elm or oak is awake"},
		{"192.168.1.2:474", control.Invitation{Introduce: true}, "BitTorrent DHT"},
	} {
		status := control.Status{Host: "maple", Listeners: []control.Listener{{App: "web", Protocol: "http", Address: "overlay:80"}}}
		if test.address != "" {
			status.Listeners = append(status.Listeners, control.Listener{App: "overlay", Protocol: "udp", Address: test.address})
		}
		if text, _ := reach(status, test.invitation); !strings.Contains(text, test.want) {
			t.Errorf("%q: %q, want %q", test.address, text, test.want)
		}
	}
}

// TestUnseen: the rail tells what is new for whoever is signed in, and a screen that does not know keeps nobody out.
func TestUnseen(t *testing.T) {
	c := newClient(t, newFake(3))
	accounts := c.admin.accounts
	count := func(_ context.Context, account string) (int, error) {
		if account != "ada" {
			return 0, kith.NotFound
		}
		return 12, nil
	}
	fails := func(context.Context, string) (int, error) { return 0, kith.Temporary }
	screen := func(title string, unseen func(context.Context, string) (int, error)) kith.Screen {
		return kith.Screen{Path: "/", Title: title, Icon: "letter", Handler: http.HandlerFunc(echoScreen), Unseen: unseen}
	}
	c.admin = New(Config{Node: c.admin.node, Accounts: accounts, Log: slog.New(slog.DiscardHandler),
		Apps: []App{{Name: "mail", Screens: []kith.Screen{screen("Mail", count)}}, {Name: "news", Screens: []kith.Screen{screen("News", fails)}}}})
	body := c.get("/").Body.String()
	if strings.Count(body, `class="count"`) != 1 || !strings.Contains(body, `<span>Mail</span><b class="count">12<`) {
		t.Errorf("the rail is %s", body)
	}
}
