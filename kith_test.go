package kith_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"kith.alt/kith"
)

func testID(seed byte) kith.ID {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
	return kith.IDOf(key.Public().(ed25519.PublicKey))
}

func TestID(t *testing.T) {
	id := testID('a')
	text := id.String()
	if len(text) != 56 || text != strings.ToLower(text) {
		t.Errorf("text form %q", text)
	}
	if back, err := kith.ParseID(text); err != nil || back != id {
		t.Errorf("ParseID(%q) = %v, %v", text, back, err)
	}
	wrong := []byte(text)
	wrong[3] ^= 1
	for _, bad := range []string{"", text[:55], text + "a", strings.ToUpper(text), string(wrong), strings.Repeat("1", 56),
		strings.Repeat("a", 56), strings.Repeat("\n", 56), text[:55] + "\n", "\r\n" + text[2:]} {
		if _, err := kith.ParseID(bad); !errors.Is(err, kith.Invalid) {
			t.Errorf("ParseID(%q): %v, want kind %q", bad, err, kith.Invalid)
		}
	}
	var zero kith.ID
	if marshalled, err := zero.MarshalText(); err != nil || len(marshalled) != 0 {
		t.Errorf("zero ID marshals to %q, %v", marshalled, err)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(testID('a').String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := kith.ParseID(text); err == nil && id.String() != text {
			t.Errorf("ParseID(%q) gives %v", text, id)
		}
	})
}

func TestNames(t *testing.T) {
	for text, want := range map[string]kith.Name{
		"maple.home.kith.alt":                      {Host: "maple", Group: "home"},
		"Maple.Home.KITH.alt.":                     {Host: "maple", Group: "home"},
		"a-1.b2.kith.alt":                          {Host: "a-1", Group: "b2"},
		"maple.kith.alt":                           {},
		"maple.home.example":                       {},
		"www.maple.home.kith.alt":                  {},
		"a--b.home.kith.alt":                       {},
		"-a.home.kith.alt":                         {},
		"ä.home.kith.alt":                          {},
		".home.kith.alt":                           {},
		strings.Repeat("a", 64) + ".home.kith.alt": {},
	} {
		got, err := kith.ParseName(text)
		if got != want || (err != nil) != (want == kith.Name{}) {
			t.Errorf("ParseName(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestMakeLabel(t *testing.T) {
	for text, want := range map[string]string{
		"Ada's MacBook.local":    "ada-s-macbook",
		"maple":                  "maple",
		"--x--":                  "x",
		"日本":                     "fallback",
		"":                       "fallback",
		strings.Repeat("a-", 60): strings.TrimRight(strings.Repeat("a-", 60)[:63], "-"),
	} {
		got := kith.MakeLabel(text, "fallback")
		if got != want || kith.CheckLabel(got) != nil {
			t.Errorf("MakeLabel(%q) = %q (%v), want %q", text, got, kith.CheckLabel(got), want)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("maple.home.kith.alt")
	f.Fuzz(func(t *testing.T, text string) {
		if name, err := kith.ParseName(text); err == nil {
			if again, err := kith.ParseName(name.String()); err != nil || again != name {
				t.Errorf("%q gives %v, and that %v, %v", text, name, again, err)
			}
		}
		if label := kith.MakeLabel(text, "host"); kith.CheckLabel(label) != nil {
			t.Errorf("MakeLabel(%q) = %q: %v", text, label, kith.CheckLabel(label))
		}
	})
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]kith.Address{
		"maple:80":         {Host: "maple", Port: 80},
		"[::1]:443":        {Host: "::1", Port: 443},
		"/run/kith/x.sock": {Host: "/run/kith/x.sock"},
		`C:\x.sock`:        {Host: `C:\x.sock`},
		"maple":            {},
		"maple:":           {},
		":80":              {},
		"maple:65536":      {},
		"maple:-1":         {},
	} {
		got, err := kith.ParseAddress(text)
		if got != want || (err != nil) != (want == kith.Address{}) {
			t.Errorf("ParseAddress(%q) = %v, %v, want %v", text, got, err, want)
		}
		if err == nil && got.String() != text {
			t.Errorf("%q becomes %q", text, got.String())
		}
	}
}

func TestEnv(t *testing.T) {
	for word, want := range map[string]string{"/a/b-c_1.2": "/a/b-c_1.2", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", `C:\a b`: `"C:\a b"`} {
		if got := (kith.Env{Kith: []string{"my kith", "--data", "d"}}).Line("publish", word); got != "'my kith' --data d publish "+want {
			t.Errorf("%s: %s, want %s at the end", word, got, want)
		}
	}
	for _, asJSON := range []bool{false, true} {
		var out, told strings.Builder
		e := kith.Env{Stdout: &out, Stderr: &told, JSON: asJSON}
		e.Tell("%d of it:", 1)
		if err := e.Print(map[string]string{"name": "<maple>"}, "maple\n"); err != nil {
			t.Error(err)
		}
		want := "1 of it:\nmaple\n"
		if asJSON {
			want = "{\n  \"name\": \"<maple>\"\n}\n"
		}
		if got := told.String() + out.String(); got != want {
			t.Errorf("JSON %v: %q, want %q", asJSON, got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("there is no folder /x; check its name: %w", kith.NotFound), "There is no folder /x; check its name."},
		{fmt.Errorf("save: %w", fmt.Errorf("disk is full: %w", kith.Quota)), "Save: disk is full."},
		{fmt.Errorf("no %w here", kith.NotFound), "No not found here."},
		{kith.NotFound, "Not found."},
		{errors.New("étude is lost."), "Étude is lost."},
		{errors.New("\xff"), "\xff."},
		{errors.New(""), ""},
	} {
		if got := kith.Sentence(test.err); got != test.want {
			t.Errorf("%q: %q, want %q", test.err, got, test.want)
		}
	}
}

type knownConn struct {
	net.Conn
	closed bool
}

func (c *knownConn) Peer() kith.Peer   { return kith.Peer{Program: true} }
func (c *knownConn) CloseWrite() error { c.closed = true; return nil }

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

func TestWrappedConn(t *testing.T) {
	inner := new(knownConn)
	conn := wrapped{wrapped{inner}}
	if peer, ok := kith.PeerOf(conn); !ok || !peer.Program {
		t.Errorf("PeerOf a wrapped conn: %v, %v", peer, ok)
	}
	if err := kith.CloseWrite(conn); err != nil || !inner.closed {
		t.Errorf("CloseWrite of a wrapped conn: %v, reached it: %v", err, inner.closed)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, ok := kith.PeerOf(a); ok {
		t.Error("a pipe has a peer")
	}
}

func TestMetrics(t *testing.T) {
	var m kith.Metrics
	m.Counter("kith_a_total", "A.", "app", `we"b`).Add(2)
	m.Counter("kith_a_total", "A.", "app", `we"b`).Add(1)
	m.Counter("kith_a_total", "A.").Add(5)
	m.Gauge("kith_ab", "AB.", func() float64 { return 1.5 })
	var b strings.Builder
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `# HELP kith_a_total A.
# TYPE kith_a_total counter
kith_a_total 5
kith_a_total{app="we\"b"} 3
# HELP kith_ab AB.
# TYPE kith_ab gauge
kith_ab 1.5
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if err := m.Write(failing{}); err == nil {
		t.Error("a write error is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
