// Package require states what a test needs beyond Go. On a bare machine a
// test that misses it skips and says why; under KITH_TEST=all, as in CI,
// missing it is a failure.
package require

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program, such as "curl".
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "the program "+name+" is not installed")
	}
	return path
}

// Root ends the test unless it runs as root, as network namespaces need.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "the test needs root for network namespaces")
	}
}

// All ends the test unless KITH_TEST=all: for tests too long for every day.
func All(t testing.TB) {
	t.Helper()
	if os.Getenv("KITH_TEST") != "all" {
		t.Skip("long test: set KITH_TEST=all to run it")
	}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("KITH_TEST") == "all" {
		t.Fatal(what + ", and KITH_TEST=all allows no skip")
	}
	t.Skip(what)
}
