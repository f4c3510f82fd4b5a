package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/proto/socks"
)

// A failure is how one kind of error is told to the outside: to browsers by
// status and page, to programs by Proxy-Status (RFC 9209 2.3) or SOCKS reply.
type failure struct {
	kind        error
	status      int
	reply       socks.Reply
	proxyStatus string // an error type of RFC 9209
	title, text string // %s is the host's short name
}

// failures is the one table of them. The first that matches counts; the last
// matches everything.
var failures = []failure{
	{kith.Invalid, http.StatusNotFound, socks.NotAllowed, "destination_not_found",
		"That is not a host's name", "No host can be called %s."},
	{kith.NotFound, http.StatusNotFound, socks.HostUnreachable, "destination_not_found",
		"Nobody has that name", "There is no host called %s in the group. Its name may have changed."},
	{kith.NotMember, http.StatusForbidden, socks.NotAllowed, "http_request_denied",
		"Not in the group", "This computer and %s are not, or no longer, in the same group."},
	{errOutside, http.StatusForbidden, socks.NotAllowed, "http_request_denied",
		"Not in this group", "This proxy leads to the members of your group only, and %s is not one. Turn it off for other addresses, or use the PAC file."},
	{kith.Denied, http.StatusForbidden, socks.NotAllowed, "http_request_denied",
		"Not allowed", "%s does not let this computer in here."},
	{kith.Refused, http.StatusBadGateway, socks.ConnectionRefused, "connection_refused",
		"%s has no site", "%s is awake, and nothing answers at this address."},
	{kith.Unreachable, http.StatusServiceUnavailable, socks.HostUnreachable, "destination_unavailable",
		"%s is asleep", "%s is asleep or not connected. Try again when it is awake."},
	{kith.Quota, http.StatusServiceUnavailable, socks.GeneralFailure, "connection_limit_reached",
		"Too busy", "Too many connections to %s are open. Try again in a moment."},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, socks.TTLExpired, "connection_timeout",
		"%s takes too long", "%s did not answer in time. Try again in a moment."},
	{nil, http.StatusBadGateway, socks.GeneralFailure, "connection_terminated",
		"The connection to %s broke", "The connection to %s broke before it had answered. Try again."},
}

// errOutside is the error for names and addresses that no member can have.
var errOutside = fmt.Errorf("outside the group: %w", kith.Denied)

// failureOf finds the row for err.
func failureOf(err error) failure {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = errors.Join(err, context.DeadlineExceeded)
	}
	for _, f := range failures {
		if f.kind == nil || errors.Is(err, f.kind) {
			return f
		}
	}
	panic("unreachable: the last row matches")
}

// fail answers a request to a port of a host that could not be had. More are
// further sentences.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, host string, port int, err error, more ...string) {
	f := failureOf(err)
	if f.kind == kith.Refused && port != webPort {
		f.title, f.text = fmt.Sprintf("Nothing answers on port %d of %%s", port), "%s is awake; its owner can start the program."
	}
	g.config.Log.Debug("request failed", "host", host, "status", f.status, "err", err)
	w.Header().Set("Proxy-Status", "kith; error="+f.proxyStatus)
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "10")
	}
	text := strings.Join(append([]string{say(f.text, host)}, more...), " ")
	writePage(w, r, f.status, page{Title: say(f.title, host), Text: text, Home: g.dashboard()})
}

// say fills a host's name into a sentence that may have no place for it.
func say(sentence, host string) string {
	if len(host) > kith.MaxLabel {
		host = host[:kith.MaxLabel]
	}
	if parsed, err := kith.ParseID(host); err == nil {
		host = parsed.Short()
	}
	return strings.ReplaceAll(sentence, "%s", host)
}
