package folders

import (
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WellKnown is the one name beginning with a dot that is shown to others, at the
// top of a site (RFC 8615 3).
const WellKnown = ".well-known"

// Hidden reports whether what is called name in a folder is not shown to others: "."
// and "..", dot files, and whatever a file system takes for one of them.
func Hidden(name string) bool {
	if name == "" || name[0] == '.' || strings.ContainsRune(name, 0) {
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
