package folders

import (
	"os"
	"path/filepath"
	"strings"
)

// Home returns the person's home folder, "" if the system tells of none.
func Home() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Clean(home)
}

// Expand puts the home folder in place of a ~ that begins path, as shells do.
func Expand(path string) string {
	path = strings.TrimSpace(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		return Home() + rest
	}
	return path
}

// HoldsHome reports whether dir is the home folder, or above it.
func HoldsHome(dir string) bool {
	home := Home()
	return home != "" && Within(home, dir)
}

// Within reports whether path is dir or below it, whatever links lead there and
// however the system compares names. Neither need exist: then it is not.
func Within(path, dir string) bool {
	above, err := os.Stat(dir)
	if err != nil {
		return false
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false
	}
	for {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, above) {
			return true
		}
		parent := filepath.Dir(path)
		if parent == path {
			return false
		}
		path = parent
	}
}
