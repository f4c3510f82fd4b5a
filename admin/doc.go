// Package admin is the dashboard: the pages at http://localhost:8080/ by which
// a person sees and drives a node. It knows nothing but [control.Node] and a
// few questions about accounts; applications bring screens of their own.
//
// # Who may
//
// Only requests to localhost or a loopback address are answered, others get
// 421, so that a name that was rebound to 127.0.0.1 reaches nothing. Requests
// that a foreign page caused are refused by Fetch Metadata, or where a browser
// sends none, by Origin (RFC 6454); a foreign page may lead here by a link, and
// nothing more. Everything but signing in needs a session: the cookie
// kith_session (HttpOnly, SameSite=Strict, host-only), which package account
// keeps. Every request that changes something also carries the session's
// token, in the form field csrf or the header X-Kith-CSRF. Pages allow no
// foreign and no inline script or style, and no frames.
//
// The printed link, /signin?token=..., signs in on a plain navigation from a
// terminal, a mail or the address line. Whatever may be a preview or prefetch
// (HEAD, no Fetch Metadata, Sec-Purpose) or comes from a foreign page gets a
// page with a button, and the token lives on.
//
// # Pages
//
// Handlers gather data from the node and hand it to a template of the same
// name. What changes by itself lies in fragments whose names begin with
// "live-": the template of that name draws it within the page, and again in
// the page's stream below /events/, at most 16 streams of an account at a time. Screens of an
// application are mounted below /<name>/ behind the same checks, with the
// prefix removed and bodies limited to 32 MiB.
//
// What the package does, by file: admin.go the routes; guard.go the checks;
// session.go signing in and out; home.go, members.go, invite.go, join.go,
// computer.go, accounts.go, programs.go and mail.go the pages; reach.go and relay.go
// parts of them; live.go the streams; drawing.go the group as a picture. It is
// safe for concurrent use; its only state is the count of streams.
package admin
