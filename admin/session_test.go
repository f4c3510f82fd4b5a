package admin

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"kith.alt/kith"
)

// openLink is a browser that opens a link from a terminal.
func openLink(target string) *http.Request {
	r := httptest.NewRequest("GET", "http://localhost:8080"+target, nil)
	r.Header.Set("Sec-Fetch-Site", "none")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-User", "?1")
	return r
}

func TestLinkSignsInOnce(t *testing.T) {
	dashboard, _ := newDashboard(newFake(7))
	w := httptest.NewRecorder()
	dashboard.ServeHTTP(w, openLink("/signin?token="+goodToken))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Fatalf("%d, to %q", w.Code, w.Header().Get("Location"))
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	c := cookies[0]
	if c.Name != "kith_session" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %v", c)
	}

	again := openLink("/signin?token=" + goodToken)
	w = httptest.NewRecorder()
	dashboard.ServeHTTP(w, again)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "has been used") {
		t.Errorf("the second time: %d", w.Code)
	}
	again.AddCookie(c)
	w = httptest.NewRecorder()
	dashboard.ServeHTTP(w, again)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the second time, signed in: %d, want the dashboard", w.Code)
	}
}

// A preview of the link, or a foreign page that leads to it, must not use it up.
func TestLinkSurvivesPreviews(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"HEAD":               func(r *http.Request) { r.Method = "HEAD" },
		"no Fetch metadata":  func(r *http.Request) { r.Header = http.Header{} },
		"prefetch":           func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch") },
		"prerender":          func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch;prerender") },
		"old prefetch":       func(r *http.Request) { r.Header.Set("Purpose", "prefetch") },
		"fetch":              func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "no-cors") },
		"link of a web page": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		t.Run(name, func(t *testing.T) {
			dashboard, accounts := newDashboard(newFake(7))
			r := openLink("/signin?token=" + goodToken)
			change(r)
			w := httptest.NewRecorder()
			dashboard.ServeHTTP(w, r)
			if accounts.used || len(w.Result().Cookies()) > 0 {
				t.Error("the token is used up")
			}
			if w.Code != http.StatusOK || r.Method == "GET" && !strings.Contains(w.Body.String(), `name="token" value="`+goodToken+`"`) {
				t.Errorf("%d, without a button", w.Code)
			}
			checkPageHead(t, w, r)

			press := httptest.NewRequest("POST", "http://localhost:8080/signin", strings.NewReader("token="+goodToken))
			press.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			press.Header.Set("Sec-Fetch-Site", "same-origin")
			w = httptest.NewRecorder()
			dashboard.ServeHTTP(w, press)
			if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
				t.Errorf("the button: %d", w.Code)
			}
		})
	}
}

func checkPageHead(t *testing.T, w *httptest.ResponseRecorder, r *http.Request) {
	t.Helper()
	if r.Method == "HEAD" {
		if w.Body.Len() > 0 {
			t.Error("HEAD has a body")
		}
		return
	}
	checkPage(t, w)
}

func TestPassword(t *testing.T) {
	for _, test := range []struct {
		account, password string
		want              int
	}{
		{"ada", goodPassword, http.StatusSeeOther},
		{" Ada ", goodPassword, http.StatusSeeOther},
		{"ada", "wrong", http.StatusUnauthorized},
		{"", "", http.StatusUnauthorized},
		{`<b>"`, goodPassword, http.StatusUnauthorized},
	} {
		dashboard, _ := newDashboard(newFake(7))
		form := url.Values{"account": {test.account}, "password": {test.password}}
		r := httptest.NewRequest("POST", "http://localhost:8080/signin/password", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		dashboard.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%q %q: %d, want %d", test.account, test.password, w.Code, test.want)
		}
		if strings.Contains(w.Body.String(), goodPassword) || strings.Contains(w.Body.String(), "<b>\"") {
			t.Error("the page shows the password or is not escaped")
		}
	}
}

func TestSignOut(t *testing.T) {
	c := newClient(t, newFake(7))
	w := c.post("/signout")
	if w.Code != http.StatusSeeOther || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", w.Code, w.Result().Cookies())
	}
	if w := c.get("/"); w.Code != http.StatusUnauthorized {
		t.Errorf("afterwards %d", w.Code)
	}
}

// Whoever came in by the old password is out with it.
func TestSetPasswordEndsOtherSessions(t *testing.T) {
	c := newClient(t, newFake(7))
	session, err := c.admin.accounts.NewSession(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	other := &client{t, c.admin, session}
	for _, fields := range [][]string{{"password", "short"}, {"remove", "yes"}} {
		if w := other.get("/"); w.Code != http.StatusOK {
			t.Fatalf("before %v: %d", fields, w.Code)
		}
		c.admin.node.(*fakeNode).err = map[string]error{"password": kith.Invalid}[fields[0]]
		c.post("/settings/password", fields...)
	}
	if w := other.get("/"); w.Code != http.StatusUnauthorized {
		t.Errorf("the other session: %d", w.Code)
	}
	if w := c.get("/"); w.Code != http.StatusOK {
		t.Errorf("the own session: %d", w.Code)
	}
}

// A strict cookie stays at home when a foreign page leads here; the page that
// comes back asks again by itself.
func TestForeignLinkAsksAgain(t *testing.T) {
	dashboard, _ := newDashboard(newFake(7))
	r := openLink("/members/")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	dashboard.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Refresh") != "0" || !strings.Contains(w.Body.String(), `href="/members/"`) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	checkPage(t, w)
}

func TestSessionCookieTellsPortsApart(t *testing.T) {
	for authority, want := range map[string]string{
		"localhost:8080": "kith_session", "localhost": "kith_session", "localhost:9080": "kith_session_9080",
	} {
		if got := sessionCookie(authority); got != want {
			t.Errorf("%s: %s, want %s", authority, got, want)
		}
	}
}
