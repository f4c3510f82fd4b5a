package cli

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A program built by "go run" lies in a directory that go made for it: one in
// its build cache, named by a hash, or a temporary one.
var builtByGoRun = regexp.MustCompile(`[/\\](go-build[0-9]*[/\\]|[0-9a-f]{64}-d[/\\])`)

const goRun = "go run ./cmd/kith"

// isGoRun reports whether the executable is there for this run only.
func isGoRun(executable string) bool { return builtByGoRun.MatchString(executable) }

// startedAs returns the words that a person types to start this program again.
func startedAs(executable func() (string, error), arg0 string) []string {
	path, err := executable()
	if err != nil {
		path = arg0
	}
	if isGoRun(path) {
		return strings.Fields(goRun)
	}
	name := strings.TrimSuffix(filepath.Base(arg0), ".exe")
	if found, err := exec.LookPath(name); err == nil && filepath.Base(arg0) == arg0 && found != "" {
		return []string{name}
	}
	return []string{arg0}
}
