package admin

import (
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

// Accounts is what the dashboard asks about people. Errors are of kind
// Denied (wrong), Expired, NotFound or Quota (too many attempts).
type Accounts interface {
	// SignIn redeems the token of a sign-in link, which then is used up.
	SignIn(ctx context.Context, token string) (account string, err error)
	// CheckPassword tells whether password opens the dashboard to account;
	// source is where the attempt came from, for rate limits.
	CheckPassword(ctx context.Context, account, password, source string) error

	NewSession(ctx context.Context, account string) (token string, err error)
	Session(ctx context.Context, token string) (account string, err error)
	EndSession(ctx context.Context, token string) error
	// EndSessions ends the account's sessions but the one that exceptToken
	// opens.
	EndSessions(ctx context.Context, account, exceptToken string) error
}

// An App is an application that runs on the node, as the dashboard shows it.
type App struct {
	Name    string // not that of a page of the dashboard's own, such as "members"
	Title   string
	Screens []kith.Screen
}

// Config is what a dashboard needs.
type Config struct {
	Node     control.Node
	Accounts Accounts
	Apps     []App
	Log      *slog.Logger
}

// Admin is the dashboard. It is safe for concurrent use.
type Admin struct {
	node     control.Node
	accounts Accounts
	log      *slog.Logger
	mux      *http.ServeMux
	rail     []ui.Entry
	unseen   map[int]func(context.Context, string) (int, error) // of entries of the rail: what is new there
	streams  ui.Streams
}

//go:embed templates
var files embed.FS

var pages = ui.ParseWith(template.FuncMap{
	"callers": callers,
	"carrier": carrierInWords,
	"clip":    clip,
	"mapped":  mappedBy,
	"nat":     natInWords,
	"opened":  opened,
	"path":    pathInWords,
	"purpose": purpose,
	"reach":   reachInWords,
	"router":  routerInWords,
	"span":    func(since time.Time) string { return ui.Duration(time.Since(since)) },
}, files, "templates/*.html")

const (
	maxForm   = 64 << 10
	maxScreen = 32 << 20 // of a request to an application's screen
)

// New returns the dashboard. It starts nothing.
func New(config Config) *Admin {
	a := &Admin{
		node:     config.Node,
		accounts: config.Accounts,
		log:      config.Log,
		mux:      http.NewServeMux(),
		unseen:   make(map[int]func(context.Context, string) (int, error)),
	}
	a.rail = append(a.rail, ui.Entry{Href: "/", Title: "Home", Icon: "home"})

	a.mux.Handle(ui.AssetPath, ui.Assets())
	a.mux.HandleFunc("GET /signin", a.signInPage)
	a.mux.HandleFunc("POST /signin", a.signIn)
	a.mux.HandleFunc("POST /signin/password", a.signInWithPassword)

	routes := map[string]handler{
		"POST /signout": a.signOut,
		"GET /{$}":      a.home,

		"GET /events/{view}":        a.events,
		"GET /events/member/{host}": a.events,

		"GET /members/{$}":                        a.members,
		"GET /members/{host}":                     a.member,
		"GET /members/{host}/revoke":              a.revokePage,
		"POST /members/{host}/revoke":             a.revoke,
		"POST /members/{host}/admin":              a.setAdmin,
		"POST /members/{host}/trust":              a.trust,
		"GET /invite":                             a.invitePage,
		"POST /invite":                            a.invite,
		"GET /join":                               a.joinPage,
		"POST /join":                              a.join,
		"GET /leave":                              a.leavePage,
		"POST /leave":                             a.leave,
		"GET /settings/{$}":                       a.computer,
		"POST /settings/rename":                   a.rename,
		"POST /settings/relay":                    a.setRelay,
		"GET /settings/stop":                      a.stopPage,
		"POST /settings/stop":                     a.stop,
		"GET /settings/programs":                  a.programs,
		"GET /settings/certificate":               a.certificateFile,
		"POST /settings/mail/open":                a.openMail,
		"POST /settings/mail/phone":               a.addPhone,
		"GET /settings/mail/autoconfig.xml":       a.autoconfigFile,
		"GET /settings/mail/profile.mobileconfig": a.mailProfile,
		"GET /settings/accounts":                  a.accountsPage,
		"POST /settings/accounts":                 a.addAccount,
		"POST /settings/app-passwords":            a.addAppPassword,
		"POST /settings/app-passwords/remove":     a.removeAppPassword,
		"POST /settings/password":                 a.setPassword,
	}
	for pattern, page := range routes {
		a.mux.Handle(pattern, a.guarded(maxForm, page))
	}
	for _, app := range config.Apps {
		a.mount(app)
	}
	a.rail = append(a.rail,
		ui.Entry{Href: "/members/", Title: "Members", Icon: "people"},
		ui.Entry{Href: "/settings/", Title: "Settings", Icon: "settings"})
	return a
}

// mount adds the screens of an application below /<name>/.
func (a *Admin) mount(app App) {
	prefix := "/" + app.Name
	screens := http.NewServeMux()
	for _, screen := range app.Screens {
		path := "/" + strings.TrimPrefix(screen.Path, "/")
		screens.Handle(path, screen.Handler)
		if screen.Title != "" {
			if screen.Unseen != nil {
				a.unseen[len(a.rail)] = screen.Unseen
			}
			a.rail = append(a.rail, ui.Entry{Href: prefix + path, Title: screen.Title, Icon: screen.Icon})
		}
	}
	if len(app.Screens) == 0 {
		return
	}
	stripped := http.StripPrefix(prefix, screens)
	a.mux.Handle(prefix+"/", a.guarded(maxScreen, func(w http.ResponseWriter, r *http.Request, _ visit) {
		stripped.ServeHTTP(w, r)
	}))
}

// ServeHTTP answers a request to the dashboard's origin.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ui.Protect(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case !isLocal(r.Host):
		http.Error(w, "the dashboard answers to localhost only", http.StatusMisdirectedRequest) // RFC 9110 15.5.20
	case !ownOrigin(r):
		ui.Message(w, r, http.StatusForbidden, "Asked by another page",
			"A page of another site tried to do something here. Nothing was done.")
	default:
		if unrouted, pattern := a.mux.Handler(r); pattern == "" {
			a.guarded(maxForm, misses(unrouted)).ServeHTTP(w, r)
			return
		}
		a.mux.ServeHTTP(w, r)
	}
}

// misses answers what the mux has no handler for, as a page. The mux knows
// whether the path or the method was wrong.
func misses(unrouted http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request, _ visit) {
		p := probe{header: make(http.Header)}
		unrouted.ServeHTTP(&p, r)
		if p.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", p.header.Get("Allow")) // RFC 9110 15.5.6
			ui.Message(w, r, p.status, "This address does not do that", "It answers "+p.header.Get("Allow")+" only.")
			return
		}
		ui.Message(w, r, http.StatusNotFound, "There is no such page", "The address may be mistyped, or what it named is gone.")
	}
}

// A probe notes how a handler answers and discards the rest.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
