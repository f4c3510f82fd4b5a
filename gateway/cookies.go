package gateway

import (
	"net/http"
	"strings"
)

// privatePrefix begins the names of the dashboard's cookies.
const privatePrefix = "kith_"

// stripPrivateCookies removes the dashboard's cookies from a request to a
// site. The others pass byte for byte (RFC 6265 5.4 has them separated by
// semicolon and space).
func stripPrivateCookies(h http.Header) {
	fields := h["Cookie"]
	kept := fields[:0]
	for _, field := range fields {
		if strings.Contains(strings.ToLower(field), privatePrefix) {
			field = withoutPrivate(field)
		}
		if field != "" {
			kept = append(kept, field)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func withoutPrivate(field string) string {
	var kept []string
	for pair := range strings.SplitSeq(field, ";") {
		if !isPrivateCookie(pair) {
			kept = append(kept, pair)
		}
	}
	return strings.TrimLeft(strings.Join(kept, ";"), " ")
}

// isPrivateCookie reports whether a NAME=VALUE pair has a name of the
// dashboard's cookies. A pair without a name is sent as its value alone, and
// would then be taken for a name.
func isPrivateCookie(pair string) bool {
	pair = strings.TrimLeft(pair, " \t=")
	return len(pair) >= len(privatePrefix) && strings.EqualFold(pair[:len(privatePrefix)], privatePrefix)
}

// rewriteSetCookies makes the cookies that a site sets host-only: Domain goes,
// everything else stays byte for byte. Cookies with names of the dashboard's
// are dropped.
//
// With local set the browser sees an http origin at the gateway, where some
// refuse Secure cookies although nothing leaves the computer in the clear:
// Secure goes too, unless the browser would then refuse the cookie for its
// name or its other attributes (SameSite=None, Partitioned).
func rewriteSetCookies(h http.Header, local bool) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	kept := lines[:0]
	for _, line := range lines {
		if !isPrivateCookie(line) {
			kept = append(kept, rewriteSetCookie(line, local))
		}
	}
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

func rewriteSetCookie(line string, local bool) string {
	parts := strings.Split(line, ";")
	dropSecure := local && !needsSecure(parts)
	kept := parts[:1]
	for _, part := range parts[1:] {
		name, _, _ := strings.Cut(part, "=")
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case name == "domain", name == "secure" && dropSecure:
		default:
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ";")
}

// needsSecure reports whether browsers accept the cookie only as Secure.
func needsSecure(parts []string) bool {
	name := strings.ToLower(strings.TrimSpace(parts[0]))
	if strings.HasPrefix(name, "__host-") || strings.HasPrefix(name, "__secure-") {
		return true
	}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if strings.EqualFold(name, "partitioned") || strings.EqualFold(name, "samesite") && strings.EqualFold(value, "none") {
			return true
		}
	}
	return false
}
