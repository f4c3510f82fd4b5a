package share

import (
	"os"
	"path/filepath"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

var maple, oak, elm = kith.ID{1}, kith.ID{2}, kith.ID{3}

// A fixture is the application, running on maple, with a home folder of its own.
type fixture struct {
	*apptest.Host
	app   *share
	swarm *apptest.Swarm
	home  string
	dir   string // a folder in it
	stop  func()
}

func start(t testing.TB) *fixture {
	t.Helper()
	home := filepath.Join(t.TempDir(), "ada")
	f := &fixture{home: home, dir: filepath.Join(home, "files")}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	setHome(t, home)
	app := App()
	app.New = func(host kith.Host) (kith.Service, error) { // as App's, but known to the test
		f.app = newShare(host)
		return f.app.service(), nil
	}
	f.Host = apptest.NewHost(t, app)
	f.swarm = f.Host.Swarm().(*apptest.Swarm)
	f.stop = f.Serve(t)
	return f
}

func setHome(t testing.TB, home string) {
	t.Helper()
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if t, ok := t.(*testing.T); ok {
			t.Setenv(name, home)
		}
	}
}

// write makes a file in the folder.
func (f *fixture) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// must runs a command in the folder that has to succeed.
func (f *fixture) must(t testing.TB, verb string, args ...string) string {
	t.Helper()
	out, _, err := f.Run(t.Context(), f.dir, verb, args...)
	if err != nil {
		t.Fatalf("kith %s %q: %v", verb, args, err)
	}
	return out
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}
