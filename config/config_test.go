package config

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kith.alt/kith"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOneNodeOnADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "kith")
	d := open(t, path)
	if _, err := Open(path, slog.New(slog.DiscardHandler)); !errors.Is(err, kith.InUse) {
		t.Errorf("second Open: %v, want kind InUse", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestDiscard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kith")
	d := open(t, path)
	if err := os.WriteFile(d.File("kith.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Discard: %v", err)
	}

	kept := t.TempDir()
	if err := open(t, kept).Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("Discard removed a directory that Open did not make: %v", err)
	}
}

func TestKey(t *testing.T) {
	d := open(t, t.TempDir())
	if _, err := d.Key(); !errors.Is(err, kith.NotFound) {
		t.Errorf("no key yet: %v, want kind NotFound", err)
	}
	if Exists(d.Path()) {
		t.Error("Exists before there is a key")
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.StoreKey(key); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Key(); err != nil || !got.Equal(key) {
		t.Errorf("Key: %v", err)
	}
	if !Exists(d.Path()) {
		t.Error("Exists is false though there is a key")
	}
	if err := d.StoreKey(key); !errors.Is(err, kith.Exists) {
		t.Errorf("second StoreKey: %v, want kind Exists", err)
	}
	if err := os.WriteFile(d.File(keyFile), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Key(); !errors.Is(err, kith.Invalid) {
		t.Errorf("damaged key: %v, want kind Invalid", err)
	}
}

func TestPermissionsAreRepaired(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists instead")
	}
	path := t.TempDir()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if err := d.StoreKey(key); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o755), os.Chmod(filepath.Join(path, keyFile), 0o644)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d, err = Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Key(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{path: 0o700, d.File(keyFile): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", name, info.Mode().Perm(), want, err)
		}
	}
	if n := strings.Count(log.String(), "repaired"); n != 2 {
		t.Errorf("%d warnings, want 2:\n%s", n, &log)
	}
}

func TestUpdate(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := d.Update(func(n *Node) error {
		n.SetPortBase(20000)
		n.RememberPort(Gateway, 20000)
		n.Account = "ada"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Update(func(n *Node) error { n.OverlayPort = 70000; return nil }); !errors.Is(err, kith.Invalid) {
		t.Errorf("overlay port 70000: %v, want kind Invalid", err)
	}
	refusal := errors.New("no")
	if err := d.Update(func(n *Node) error { n.Account = "eve"; return refusal }); err != refusal {
		t.Errorf("refused change: %v", err)
	}
	d.Close()

	got := open(t, path).Node()
	if got.PortBase != 20000 || got.Ports["http"] != 20000 || got.Account != "ada" || got.OverlayPort != 0 || got.Version != version {
		t.Errorf("after a restart: %+v", got)
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 2 { // lock, config.json
		t.Errorf("%d files in the directory, want 2: %v %v", len(entries), entries, err)
	}
}

func TestLaterVersions(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, configFile)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"version":1,"account":"ada","moon":{"phase":[1,2]}}`)
	d := open(t, path)
	if err := d.Update(func(n *Node) error { n.Account = "eve"; return nil }); err != nil {
		t.Fatal(err)
	}
	d.Close()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Account string
		Moon    struct{ Phase []int }
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Account != "eve" || len(got.Moon.Phase) != 2 {
		t.Errorf("stored %s (%v)", text, err)
	}

	write(`{"version":2}`)
	_, err = Open(path, slog.New(slog.DiscardHandler))
	if !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "newer kith") {
		t.Errorf("a newer layout: %v", err)
	}
}

func TestPorts(t *testing.T) {
	tests := []struct {
		name   string
		node   Node
		offset int
		port   int
		moves  bool
	}{
		{"default", Node{}, Gateway, 8080, true},
		{"default proxy", Node{}, Proxy, 1080, true},
		{"default https", Node{}, 18, 8443, true},
		{"no default", Node{}, 20, 0, true},
		{"base", Node{PortBase: 9000}, Proxy, 9001, false},
		{"passive", Node{PortBase: 9000}, 39, 9039, false},
		{"remembered", Node{Ports: map[string]int{"http": 8083}}, Gateway, 8083, false},
		{"another is remembered", Node{Ports: map[string]int{"http": 8083}}, Proxy, 1080, true},
		{"any", Node{PortBase: AnyPort, Ports: map[string]int{"http": 8083}}, Gateway, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if port, moves := test.node.Port(test.offset); port != test.port || moves != test.moves {
				t.Errorf("port %d, moves %v; want %d, %v", port, moves, test.port, test.moves)
			}
		})
	}

	var n Node
	n.RememberPort(20, 5000)
	n.RememberPort(Gateway, 8081)
	n.SetPortBase(0)
	if port, _ := n.Port(20); port != 5000 {
		t.Errorf("remembered passive port is %d", port)
	}
	n.SetPortBase(9000)
	if port, _ := n.Port(Gateway); port != 9000 {
		t.Errorf("after --port-base 9000: %d", port)
	}
	for _, base := range []int{-1, 1023, 65497} {
		if err := CheckPortBase(base); !errors.Is(err, kith.Invalid) {
			t.Errorf("port base %d: %v", base, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	home := func() (string, error) { return "/home/ada", nil }
	homeless := func() (string, error) { return "", errors.New("$HOME is not defined") }
	tests := []struct {
		goos string
		env  map[string]string
		home func() (string, error)
		want string
	}{
		{"linux", nil, home, "/home/ada/.local/share/kith"},
		{"linux", map[string]string{"XDG_DATA_HOME": "/x"}, home, "/x/kith"},
		{"linux", map[string]string{"XDG_DATA_HOME": "relative"}, home, "/home/ada/.local/share/kith"},
		{"linux", map[string]string{"KITH_DATA": "/k", "XDG_DATA_HOME": "/x"}, homeless, "/k"},
		{"linux", nil, homeless, ""},
		{"darwin", map[string]string{"XDG_DATA_HOME": "/x"}, home, "/home/ada/Library/Application Support/kith"},
		{"windows", map[string]string{"LocalAppData": "/l"}, homeless, "/l/kith"},
		{"windows", nil, home, ""},
	}
	for _, test := range tests {
		got, err := defaultDir(test.goos, func(name string) string { return test.env[name] }, test.home)
		if want := filepath.FromSlash(test.want); runtime.GOOS != "windows" && got != want || (err != nil) != (test.want == "") {
			t.Errorf("%s %v: %q, %v; want %q", test.goos, test.env, got, err, want)
		}
	}

	for name, want := range map[string]string{"Ada's MacBook.local": "ada-s-macbook", "localhost.localdomain": "", "": ""} {
		if got := hostLabel(name); got != want {
			t.Errorf("host %q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{`HOUSE\Ada`: "ada", "ada.l": "ada", "": ""} {
		if got := accountLabel(name); got != want {
			t.Errorf("account %q: %q, want %q", name, got, want)
		}
	}
	for _, label := range []string{DefaultHost(), DefaultAccount(), DefaultGroup} {
		if err := kith.CheckLabel(label); err != nil && label != "" {
			t.Error(err)
		}
	}
}

// FuzzParseNode: what is read can be stored, and is then read the same.
func FuzzParseNode(f *testing.F) {
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"PORTS":{"http":80},"moon":null,"port_base":9000}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := parseNode(text)
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Errorf("%v is not of kind Invalid", err)
			}
			return
		}
		first, err := n.text()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseNode(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := again.text()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s became %s (%v)", first, second, err)
		}
	})
}

// FuzzParseKey: nothing but an Ed25519 key is a key.
func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseKey(text)
		if (err == nil) != (len(key) == ed25519.PrivateKeySize) {
			t.Errorf("key of %d bytes, %v", len(key), err)
		}
	})
}

func TestMoved(t *testing.T) {
	path := t.TempDir()
	if n, err := Read(path); err != nil || n.Moved() != nil {
		t.Errorf("nothing stored: %+v, %v", n, err)
	}
	d := open(t, path)
	if err := d.Update(func(n *Node) error {
		n.RememberPort(Gateway, 8080)
		n.RememberPort(Proxy, 1081)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	n, err := Read(path) // while the node runs
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Moved(); len(got) != 1 || got[0] != (Move{Service: "proxy", From: 1080, To: 1081}) {
		t.Errorf("moved: %+v", got)
	}
	n.PortBase = 9000
	if got := n.Moved(); got != nil {
		t.Errorf("with a port base: %+v", got)
	}
}

// TestSweep has a process killed in the middle of a write.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"key.123", "config.json.456", "kith.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, want := range map[string]bool{"key.123": false, "config.json.456": false, "kith.db": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}
