package admin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

// A visit is a request of somebody who is signed in.
type visit struct {
	account string
	session string
	status  control.Status
}

// self is this host as a member.
func (v visit) self() control.Member {
	for _, m := range v.status.Members {
		if m.Path == control.PathSelf {
			return m
		}
	}
	return control.Member{Host: v.status.Host, ID: v.status.ID, State: control.Online, Path: control.PathSelf}
}

// A handler answers a request that has passed all checks.
type handler func(w http.ResponseWriter, r *http.Request, v visit)

// isLocal reports whether the authority of a request names this computer and
// cannot be a name of somebody's that resolves to it.
func isLocal(authority string) bool {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.Trim(authority, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// ownOrigin reports whether the request comes from a page of the dashboard or
// from the person directly, or is a plain link from elsewhere. Other ports of
// localhost are other origins, though browsers send our cookies from there.
func ownOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "": // no browser, or an old one
		origin := r.Header.Get("Origin")
		if origin == "" {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host == r.Host
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return reads && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// csrfToken is what forms of a session carry. It tells nothing of the session.
func csrfToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("kith csrf 1"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// guarded lets only requests with a session through to next and, where they
// may change something, only with the session's token. Bodies hold at most
// limit bytes.
func (a *Admin) guarded(limit int64, next handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, account := a.session(r)
		if account == "" {
			a.nobody(w, r)
			return
		}
		status, err := a.node.Status(r.Context())
		if err != nil {
			a.log.Error("dashboard asks for status", "err", err)
			ui.Message(w, r, http.StatusServiceUnavailable, "Kith does not answer", "The node is starting or stopping. Try again in a moment.")
			return
		}
		token := csrfToken(session)
		r = r.WithContext(ui.WithFrame(r.Context(), a.frame(r.Context(), status, account, token)))
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		defer func() { // the server does so for its own request alone
			if r.MultipartForm != nil {
				r.MultipartForm.RemoveAll()
			}
		}()
		if !safeMethod(r.Method) {
			sent, err := sentToken(r)
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				ui.Message(w, r, http.StatusRequestEntityTooLarge, "That is too much", "At most "+ui.Size(tooLarge.Limit)+" can be sent at once.")
				return
			} else if err != nil {
				ui.Message(w, r, http.StatusBadRequest, "The form could not be read", "It arrived incomplete. Go back and send it again.")
				return
			}
			if !hmac.Equal([]byte(sent), []byte(token)) {
				ui.Message(w, r, http.StatusForbidden, "This form is from another session",
					"Nothing was done. Go back, load the page again and repeat it.")
				return
			}
		}
		next(w, r, visit{account: account, session: session, status: status})
	})
}

func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// sentToken reads the token that a changing request carries. It reads forms;
// bodies of other kinds are left to the handler and need the header.
func sentToken(r *http.Request) (string, error) {
	if token := r.Header.Get("X-Kith-CSRF"); token != "" {
		return token, nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/x-www-form-urlencoded":
		if err := r.ParseForm(); err != nil {
			return "", err
		}
	case "multipart/form-data":
		const memory = 1 << 20 // the rest goes to temporary files
		if err := r.ParseMultipartForm(memory); err != nil {
			return "", err
		}
	}
	return r.PostForm.Get(ui.CSRFField), nil
}

func (a *Admin) frame(ctx context.Context, status control.Status, account, token string) ui.Frame {
	f := ui.Frame{
		Host: status.Host, Group: status.Group, Account: account,
		Rail: slices.Clone(a.rail), CSRF: token, SignOut: "/signout",
	}
	for i, count := range a.unseen {
		n, err := count(ctx, account)
		if err != nil { // no reason to show no page
			a.log.Warn("what is new is not known", "screen", f.Rail[i].Title, "err", err)
		}
		f.Rail[i].Count = n
	}
	f.Awake, f.Members = awake(status)
	return f
}

// awake counts the members that are awake and all that are not revoked.
func awake(status control.Status) (awake, all int) {
	for _, m := range status.Members {
		if m.State == control.Revoked {
			continue
		}
		all++
		if m.State == control.Online {
			awake++
		}
	}
	return awake, all
}

// refuse answers with a page that says why the node did not do what was asked.
func (a *Admin) refuse(w http.ResponseWriter, r *http.Request, what string, err error) {
	ui.Message(w, r, statusOf(err), what, a.explain(err))
}

// explain puts an error into a sentence for people. Errors without a kind are
// the node's own trouble: the log has them in full.
func (a *Admin) explain(err error) string {
	var kind kith.Kind
	if !errors.As(err, &kind) {
		a.log.Error("dashboard", "err", err)
	}
	return kith.Sentence(err)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, kith.NotFound):
		return http.StatusNotFound
	case errors.Is(err, kith.Denied), errors.Is(err, kith.NotMember):
		return http.StatusForbidden
	case errors.Is(err, kith.Exists), errors.Is(err, kith.InUse):
		return http.StatusConflict
	case errors.Is(err, kith.Invalid), errors.Is(err, kith.Expired):
		return http.StatusUnprocessableEntity
	case errors.Is(err, kith.Quota):
		return http.StatusTooManyRequests
	case errors.Is(err, kith.Unreachable), errors.Is(err, kith.Refused), errors.Is(err, kith.Temporary):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
