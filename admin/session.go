package admin

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// defaultPort is where most dashboards are.
const defaultPort = "8080"

// sessionLife is how long a browser keeps the cookie; package account ends
// sessions earlier as it sees fit.
const sessionLife = 90 * 24 * 60 * 60 // seconds

// sessionCookie names the cookie of the dashboard at authority. Cookies do not
// tell ports apart: a second node on one computer takes a name of its own.
func sessionCookie(authority string) string {
	if _, port, err := net.SplitHostPort(authority); err == nil && port != defaultPort {
		return "kith_session_" + port
	}
	return "kith_session"
}

// session returns the request's session and its account, or "".
func (a *Admin) session(r *http.Request) (session, account string) {
	cookie, err := r.Cookie(sessionCookie(r.Host))
	if err != nil || cookie.Value == "" {
		return "", ""
	}
	account, err = a.accounts.Session(r.Context(), cookie.Value)
	if err != nil {
		return "", ""
	}
	return cookie.Value, account
}

// nobody answers a request without a session.
func (a *Admin) nobody(w http.ResponseWriter, r *http.Request) {
	// After a link from another site the browser holds a strict cookie back.
	// Asked for again by this page, it sends it.
	if site := r.Header.Get("Sec-Fetch-Site"); (site == "cross-site" || site == "same-site") && r.Header.Get("Cookie") == "" && safeMethod(r.Method) {
		w.Header().Set("Refresh", "0")
		ui.Write(w, r, http.StatusOK, ui.Page{Title: "One moment", Plain: true, Body: pages.Body("again.html", r.URL.RequestURI())})
		return
	}
	w.Header().Set("WWW-Authenticate", `Cookie realm="kith", cookie-name="`+sessionCookie(r.Host)+`"`) // RFC 9110 11.6.1
	a.signInForm(w, r, http.StatusUnauthorized, "", "")
}

type signInData struct {
	Token  string // of a link that waits for its button
	Wrong  string // why the last attempt did not work
	Name   ui.Field
	Secret ui.Field
}

func (a *Admin) signInForm(w http.ResponseWriter, r *http.Request, status int, account, wrong string) {
	ui.Write(w, r, status, ui.Page{
		Title: "Sign in", Plain: true,
		Body: pages.Body("signin.html", signInData{
			Wrong:  wrong,
			Name:   ui.Field{Name: "account", Label: "Account", Value: account, Required: true, MaxLength: kith.MaxLabel, Autocomplete: "username"},
			Secret: ui.Field{Name: "password", Label: "Password", Type: "password", Required: true, Autocomplete: "current-password"},
		}),
	})
}

// signInPage answers a printed link. It redeems the token only when a person
// surely opened the link: a navigation of the browser, not a preview, and not
// sent here by a foreign page, which could sign its visitor in as another.
func (a *Admin) signInPage(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if _, account := a.session(r); account != "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	h := r.Header
	opened := r.Method == http.MethodGet && h.Get("Sec-Fetch-Site") == "none" && h.Get("Sec-Fetch-Mode") == "navigate" &&
		h.Get("Sec-Fetch-Dest") == "document" && h.Get("Sec-Purpose") == "" && h.Get("Purpose") == ""
	switch {
	case token == "":
		a.signInForm(w, r, http.StatusOK, "", "")
	case opened:
		a.redeem(w, r, token)
	default:
		ui.Write(w, r, http.StatusOK, ui.Page{
			Title: "Welcome", Plain: true,
			Body: pages.Body("signin.html", signInData{Token: token}),
		})
	}
}

func (a *Admin) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	a.redeem(w, r, r.PostFormValue("token"))
}

func (a *Admin) redeem(w http.ResponseWriter, r *http.Request, token string) {
	account, err := a.accounts.SignIn(r.Context(), token)
	if err != nil {
		wrong := "This link has been used, or is older than ten minutes."
		if errors.Is(err, kith.Quota) {
			wrong = "There were many attempts in a short time. Wait a minute."
		}
		a.signInForm(w, r, http.StatusUnauthorized, "", wrong)
		return
	}
	a.begin(w, r, account)
}

func (a *Admin) signInWithPassword(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	account := strings.ToLower(strings.TrimSpace(r.PostFormValue("account")))
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	if err := a.accounts.CheckPassword(r.Context(), account, r.PostFormValue("password"), source); err != nil {
		wrong := "Account and password do not fit, or the account has no password yet."
		if errors.Is(err, kith.Quota) {
			wrong = "There were many attempts in a short time. Wait a minute."
		}
		a.signInForm(w, r, http.StatusUnauthorized, account, wrong)
		return
	}
	a.begin(w, r, account)
}

// begin makes a session and leads to the first page.
func (a *Admin) begin(w http.ResponseWriter, r *http.Request, account string) {
	token, err := a.accounts.NewSession(r.Context(), account)
	if err != nil {
		a.refuse(w, r, "You could not be signed in", err)
		return
	}
	a.setSession(w, r, token, sessionLife)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *Admin) signOut(w http.ResponseWriter, r *http.Request, v visit) {
	if err := a.accounts.EndSession(r.Context(), v.session); err != nil {
		a.refuse(w, r, "You could not be signed out", err)
		return
	}
	a.setSession(w, r, "", -1)
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

func (a *Admin) setSession(w http.ResponseWriter, r *http.Request, token string, life int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie(r.Host), Value: token, Path: "/", MaxAge: life,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
