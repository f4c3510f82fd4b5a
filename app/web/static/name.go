package static

import (
	"net/url"
	"strings"

	"kith.alt/kith/folders"
)

// fileName returns the name of the file that u asks for, relative to the
// directory at the path at, "" for the directory itself, and whether the path
// ends in a slash. It reports false for paths that name no file of the site.
func fileName(u *url.URL, at string) (name string, slash, ok bool) {
	// A slash that came as %2F is no separator (RFC 3986 2.2), and no file
	// has one in its name.
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return "", false, false
	}
	rest, ok := strings.CutPrefix(u.Path, at)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false, false
	}
	var parts []string
	for part := range strings.SplitSeq(rest, "/") {
		if part == "" {
			continue
		}
		if folders.Hidden(part) && (len(parts) > 0 || part != folders.WellKnown) {
			return "", false, false
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/"), strings.HasSuffix(rest, "/"), true
}
