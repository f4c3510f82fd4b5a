// Package require states what a test needs beyond Go. On a bare machine a
// test that misses it skips and says why; under KITH_TEST=all, as in CI,
// missing it is a failure.
package require

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// A T is a test, or what stands for one. Fatal and Skip end it.
type T interface {
	Helper()
	Fatal(args ...any)
	Skip(args ...any)
}

// Tool returns the path of a program, such as "curl".
func Tool(t T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "the program "+name+" is not installed")
	}
	return path
}

// Root ends the test unless it runs as root, as namespaces need.
func Root(t T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "the test needs root for namespaces")
	}
}

// Permissions reports whether file permissions bind this process. They do not
// bind root: then the test is run again in a process without root's powers,
// and this one has nothing left to do.
func Permissions(t testing.TB) bool {
	t.Helper()
	const bound = "KITH_TEST_BOUND"
	if os.Geteuid() != 0 || os.Getenv(bound) != "" {
		return true
	}
	cmd := exec.Command(Tool(t, "setpriv"), "--bounding-set", "-all", "--inh-caps", "-all", os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), bound+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("without root's powers: %v\n%s", err, out)
	}
	return false
}

// SmallDisk returns a folder that is a file system of so many MiB, which a test
// can fill. The first time it runs the test again, in a process that has one,
// and returns "": then there is nothing left to do.
func SmallDisk(t testing.TB, mebibytes int) string {
	t.Helper()
	const small = "KITH_TEST_SMALL_DISK"
	if dir := os.Getenv(small); dir != "" {
		return dir
	}
	Root(t)
	unshare := Tool(t, "unshare")
	if err := exec.Command(unshare, "--mount", "true").Run(); err != nil {
		t.Skipf("mount namespaces are not permitted here: %v", err)
	}
	script := fmt.Sprintf(`mount -t tmpfs -o size=%dm none "$%s" && exec "$0" "$@"`, mebibytes, small)
	command := exec.Command(unshare, "--mount", "sh", "-c", script, os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), small+"="+t.TempDir())
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("on a small disk: %v", err)
	}
	t.Logf("%s", out)
	return ""
}

// Everything reports KITH_TEST=all: nothing may be skipped, and what is
// repeated is repeated as often as CI wants it.
func Everything() bool { return os.Getenv("KITH_TEST") == "all" }

func missing(t T, what string) {
	t.Helper()
	if Everything() {
		t.Fatal(what + ", and KITH_TEST=all allows no skip")
	}
	t.Skip(what)
}
