package local_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/network/local"
	"kith.alt/kith/network/networktest"
)

func TestNetwork(t *testing.T) {
	for _, c := range []struct {
		name string
		dir  func(t *testing.T) string
	}{
		{"short", shortDir},
		{"long", func(t *testing.T) string { return filepath.Join(shortDir(t), strings.Repeat("long", 30)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			networktest.Run(t, func(t *testing.T) networktest.Pair {
				dir := c.dir(t)
				n := 0
				return networktest.Pair{
					Dialer:   local.Network{},
					Listener: local.Network{},
					Address: func() kith.Address {
						n++
						return kith.Address{Host: filepath.Join(dir, fmt.Sprint(n))}
					},
				}
			})
		})
	}
}

// shortDir returns a directory whose paths are short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kith-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := local.Network{}.Listen(t.Context(), kith.Address{Host: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, path string) error {
	t.Helper()
	conn, err := local.Network{}.Dial(t.Context(), kith.Address{Host: path})
	if err == nil {
		conn.Close()
	}
	return err
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	for _, name := range []string{"s", strings.Repeat("s", 120)} {
		path := filepath.Join(shortDir(t), "dir", name)
		listen(t, path)
		for file, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, error %v; want %v", file, info.Mode(), err, want)
			}
		}
	}
}

// TestStale checks that a path is free again after its process was killed, and
// that nothing remains after Close.
func TestStale(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("s", 120)} {
		dir := shortDir(t)
		path := filepath.Join(dir, name)
		socket := path
		if name != "s" {
			far := shortDir(t)
			socket = filepath.Join(far, "socket")
			if err := os.WriteFile(path, []byte(socket+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (local.Network{}).Listen(t.Context(), kith.Address{Host: path}); !errors.Is(err, kith.InUse) {
			t.Errorf("listen where somebody answers: %v, want kind %q", err, kith.InUse)
		}
		killed.SetUnlinkOnClose(false)
		killed.Close()
		if err := dial(t, path); !errors.Is(err, kith.Refused) {
			t.Errorf("dial a stale socket: %v, want kind %q", err, kith.Refused)
		}
		l := listen(t, path)
		if err := dial(t, path); err != nil {
			t.Errorf("dial: %v", err)
		}
		l.Close()
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("after Close there are %v, error %v", entries, err)
		}
	}
}

// TestMoved has a directory with a long path moved to a short one after its
// process was killed.
func TestMoved(t *testing.T) {
	dir := shortDir(t)
	long, short := filepath.Join(dir, strings.Repeat("d", 120)), filepath.Join(dir, "d")
	listen(t, filepath.Join(long, "s")) // goes on to its end, as nothing finds its file to remove
	if err := os.Rename(long, short); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(short, "s")
	if err := dial(t, path); err != nil {
		t.Errorf("dial: %v", err)
	}
	if _, err := (local.Network{}).Listen(t.Context(), kith.Address{Host: path}); !errors.Is(err, kith.InUse) {
		t.Errorf("listen where somebody answers: %v, want kind %q", err, kith.InUse)
	}
	if err := os.WriteFile(path, []byte(filepath.Join(dir, "gone")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, path); !errors.Is(err, kith.Refused) {
		t.Errorf("dial what is gone: %v, want kind %q", err, kith.Refused)
	}
	listen(t, path)
}

// TestForeignFile checks that Listen keeps its hands off other files.
func TestForeignFile(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("s", 120)} {
		path := filepath.Join(shortDir(t), name)
		if err := os.WriteFile(path, []byte("a letter\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (local.Network{}).Listen(t.Context(), kith.Address{Host: path}); !errors.Is(err, kith.Exists) {
			t.Errorf("listen on a file: %v, want kind %q", err, kith.Exists)
		}
		if err := dial(t, path); !errors.Is(err, kith.Refused) {
			t.Errorf("dial a file: %v, want kind %q", err, kith.Refused)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "a letter\n" {
			t.Errorf("the file has changed: %q, %v", data, err)
		}
	}
}

// TestRace has several listeners want one stale path at once.
func TestRace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows cannot lock directories")
	}
	path := filepath.Join(shortDir(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	var wg sync.WaitGroup
	won := make(chan net.Listener, 10)
	for range cap(won) {
		wg.Go(func() {
			l, err := local.Network{}.Listen(t.Context(), kith.Address{Host: path})
			if err == nil {
				won <- l
			} else if !errors.Is(err, kith.InUse) {
				t.Errorf("listen: %v, want kind %q", err, kith.InUse)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d listeners got the path, want 1", len(won))
	}
	if err := dial(t, path); err != nil {
		t.Errorf("dial: %v", err)
	}
	for len(won) > 0 {
		(<-won).Close()
	}
}

func TestNotPaths(t *testing.T) {
	for _, address := range []kith.Address{{Host: "maple", Port: 80}, {Host: "127.0.0.1", Port: 80}, {}, {Host: "/tmp/s", Port: 1}} {
		if _, err := (local.Network{}).Dial(t.Context(), address); !errors.Is(err, kith.Invalid) {
			t.Errorf("dial %s: %v, want kind %q", address, err, kith.Invalid)
		}
		if _, err := (local.Network{}).Listen(t.Context(), address); !errors.Is(err, kith.Invalid) {
			t.Errorf("listen on %s: %v, want kind %q", address, err, kith.Invalid)
		}
	}
}
