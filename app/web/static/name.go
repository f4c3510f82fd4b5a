package static

import (
	"net/url"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
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
		if hidden(part) && (len(parts) > 0 || part != ".well-known") {
			return "", false, false
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/"), strings.HasSuffix(rest, "/"), true
}

// hidden reports whether a name in a directory is not served: "." and "..",
// dot files, and whatever the file system takes for one of them.
func hidden(name string) bool {
	if name[0] == '.' || strings.ContainsRune(name, 0) {
		return true
	}
	// HFS+ ignores invisible characters: U+200C before .git is .git.
	if first, _ := utf8.DecodeRuneInString(name); unicode.Is(unicode.Cf, first) {
		return true
	}
	return runtime.GOOS == "windows" && windowsAlias(name)
}

// windowsAlias reports whether Windows may take name for another name: with
// an alternate stream, another separator, a trailing dot or space, or in the
// short form GIT~1, which may be that of .git.
func windowsAlias(name string) bool {
	if strings.ContainsAny(name, `:\`) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return true
	}
	_, number, ok := strings.Cut(name, "~")
	return ok && number != "" && number[0] >= '0' && number[0] <= '9'
}
