package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

const (
	maple   = "maple.home.kith.alt"
	mapleID = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.kith.alt"
	phoneIP = "192.168.1.20"
)

// A host has names that change.
type host struct {
	*Authority
	dir string

	mu     sync.Mutex
	names  []string
	events []string
}

// start opens the authority of a host, again where dir has one.
func start(t *testing.T, dir string, names ...string) *host {
	t.Helper()
	h := &host{dir: dir, names: names}
	h.Authority = New(Config{Dir: dir, Title: "kith on maple (abcdef)", Names: h.list, Event: h.event, Log: slog.New(slog.DiscardHandler)})
	if err := h.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.names)
}

func (h *host) event(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, text)
}

func (h *host) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

func (h *host) rename(t *testing.T, names ...string) {
	t.Helper()
	h.mu.Lock()
	h.names = names
	h.mu.Unlock()
	if err := h.Update(); err != nil {
		t.Fatal(err)
	}
}

// localConn is a connection to a local address.
type localConn struct {
	net.Conn
	address string
}

func (c localConn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(mustParse(c.address))
}

// leafFor returns what a client that asks for a name, or none, gets at an address.
func (h *host) leafFor(t *testing.T, name, address string) *x509.Certificate {
	t.Helper()
	got, err := h.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: name, Conn: localConn{address: address}})
	if err != nil {
		t.Fatal(err)
	}
	return got.Leaf
}

// verify is what Go's clients do with a certificate for a name.
func verify(ca []byte, leaf *x509.Certificate, name string) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
	return err
}

// names of a host, and those that are none, as clients ask for them.
var names = []struct {
	name string // "" where the client asks by address
	at   string // the address that it connects to
	good string // what the certificate is good for
}{
	{"localhost", "127.0.0.1:1993", "localhost"},
	{"LOCALHOST", "127.0.0.1:1993", "localhost"},
	{"", "127.0.0.1:1993", "127.0.0.1"},
	{"", "[::1]:1993", "::1"},
	{"", "[::ffff:127.0.0.1]:1993", "127.0.0.1"},
	{"", "192.168.1.20:1993", phoneIP},
	{"", "192.168.1.21:1993", "localhost"}, // another address than that which is certified
	{maple, "127.0.0.1:1993", maple},
	{maple, "192.168.1.20:1993", maple},
	{"Maple.Home.Kith.Alt", "127.0.0.1:1993", maple},
	{mapleID, "127.0.0.1:1993", mapleID},
	{"maple--home.localhost", "127.0.0.1:8443", "maple--home.localhost"},
	{"oak--home.localhost", "127.0.0.1:8443", "oak--home.localhost"},
	{"oak.home.kith.alt", "127.0.0.1:1993", "localhost"},
	{"imap.maple.home.kith.alt", "127.0.0.1:1993", "localhost"},
	{"example.org", "127.0.0.1:1993", "localhost"},
	{"a.b.localhost", "127.0.0.1:1993", "localhost"},
	{"*.localhost", "127.0.0.1:1993", "localhost"},
	{".localhost", "127.0.0.1:1993", "localhost"},
	{"127.0.0.0/8", "127.0.0.1:1993", "localhost"}, // how a permitted range is listed
}

func TestNames(t *testing.T) {
	h := start(t, t.TempDir(), maple, mapleID, phoneIP)
	for _, c := range names {
		leaf := h.leafFor(t, c.name, c.at)
		if err := verify(h.Certificate().PEM, leaf, c.good); err != nil {
			t.Errorf("asked for %q at %s: %v", c.name, c.at, err)
		}
		if n := len(leaf.DNSNames); n > 1 {
			t.Errorf("asked for %q: %d names", c.name, n)
		}
	}
}

// TestShape compares certificates with what clients demand of them.
func TestShape(t *testing.T) {
	h := start(t, t.TempDir(), maple, mapleID)
	ca := h.ca.certificate
	if !ca.IsCA || !ca.MaxPathLenZero || ca.KeyUsage != x509.KeyUsageCertSign || !ca.PermittedDNSDomainsCritical {
		t.Errorf("authority: %+v", ca)
	}
	if want := []string{"localhost", maple, mapleID, "127.0.0.0/8", "::1"}; !slices.Equal(h.Certificate().Names, want) {
		t.Errorf("permitted: %q, want %q", h.Certificate().Names, want)
	}
	if h.Certificate().Title != "kith on maple (abcdef)" || len(h.Certificate().Fingerprint) != 95 {
		t.Errorf("certificate: %+v", h.Certificate())
	}
	leaf := h.leafFor(t, maple, "127.0.0.1:1")
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 92*24*time.Hour || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature ||
		!slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("server: %+v", leaf)
	}
	if bytes.Equal(leaf.RawSubject, ca.RawSubject) || leaf.SerialNumber.Cmp(ca.SerialNumber) == 0 {
		t.Error("a server's certificate looks like the authority's")
	}
	config := h.TLS()
	if config.MinVersion != tls.VersionTLS12 || config.NextProtos != nil || config == h.TLS() {
		t.Errorf("configuration: %+v", config)
	}
}

// TestRename: who trusts the certificate from before goes on, as far as it goes.
func TestRename(t *testing.T) {
	h := start(t, t.TempDir(), maple, mapleID)
	before := h.Certificate()
	if err := h.Update(); err != nil || h.Certificate().Fingerprint != before.Fingerprint || len(h.told()) > 0 {
		t.Errorf("nothing changed: %v, %q", err, h.told())
	}
	const elm = "elm.home.kith.alt"
	h.rename(t, elm, maple, mapleID)
	after := h.Certificate()
	if before.Fingerprint == after.Fingerprint || after.Title != before.Title || len(h.told()) != 1 {
		t.Errorf("renamed: %+v, events %q", after, h.told())
	}
	for _, c := range []struct {
		name     string
		old, new bool
	}{
		{elm, false, true}, {maple, true, true}, {mapleID, true, true}, {"localhost", true, true}, {"maple--home.localhost", true, true},
	} {
		leaf := h.leafFor(t, c.name, "127.0.0.1:1")
		if err := verify(before.PEM, leaf, c.name); (err == nil) != c.old {
			t.Errorf("%s with the old certificate: %v", c.name, err)
		}
		if err := verify(after.PEM, leaf, c.name); (err == nil) != c.new {
			t.Errorf("%s with the new certificate: %v", c.name, err)
		}
	}
	h.rename(t, elm, mapleID)
	if err := verify(after.PEM, h.leafFor(t, maple, "127.0.0.1:1"), maple); err == nil {
		t.Error("a name that the host gave up is still certified")
	}
	again := start(t, h.dir, elm, mapleID)
	if again.Certificate().Fingerprint != h.Certificate().Fingerprint {
		t.Error("another authority after a restart")
	}
	moved := start(t, h.dir, "elm.work.kith.alt", mapleID) // renamed while it did not run
	if len(moved.told()) != 1 || verify(moved.Certificate().PEM, moved.leafFor(t, "elm.work.kith.alt", "127.0.0.1:1"), "elm.work.kith.alt") != nil {
		t.Errorf("renamed over a restart: %q", moved.told())
	}
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certificate")
	first := start(t, dir, maple)
	if err := os.WriteFile(filepath.Join(dir, "authority.123"), []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir, maple)
	if first.Certificate().Fingerprint != second.Certificate().Fingerprint {
		t.Error("another authority after a restart")
	}
	if !first.leafFor(t, localhost, "127.0.0.1:1").Equal(second.leafFor(t, localhost, "127.0.0.1:1")) {
		t.Error("another certificate of localhost after a restart")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files: %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o700) {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	h := start(t, dir, maple)
	other := start(t, t.TempDir(), maple)

	// The certificate of localhost is made again: of no file, a damaged one, another
	// authority's.
	theirs, err := os.ReadFile(filepath.Join(other.dir, localhostFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", "x", string(theirs)} {
		path := filepath.Join(dir, localhostFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		again := start(t, dir, maple)
		if err := verify(h.Certificate().PEM, again.leafFor(t, localhost, "127.0.0.1:1"), localhost); err != nil {
			t.Errorf("with %.10q: %v", content, err)
		}
	}

	// The authority is not, as it is in people's lists.
	good, err := os.ReadFile(filepath.Join(dir, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := strings.Cut(string(good), "-----BEGIN CERT")
	_, certificate, _ := strings.Cut(string(theirs), "-----BEGIN CERT")
	for _, content := range []string{"", "x", key, key + "-----BEGIN CERT" + certificate, string(good[1:])} {
		if err := os.WriteFile(filepath.Join(dir, authorityFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := New(h.cfg).Open(t.Context())
		if !errors.Is(err, kith.Invalid) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with %.10q: %v", content, err)
		}
	}
}

// TestRenewal lives through eleven years of a node that never stops.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, dir, maple)
		old := h.Certificate()
		previous := h.leafFor(t, localhost, "127.0.0.1:1")
		renewals := 0
		for day := 0; day < 11*365; day += 5 {
			for _, name := range []string{localhost, maple} {
				leaf := h.leafFor(t, name, "127.0.0.1:1")
				if left := time.Until(leaf.NotAfter); left < leafEarly {
					t.Fatalf("day %d: %v left of %s", day, left, name)
				}
				if err := verify(h.Certificate().PEM, leaf, name); err != nil {
					t.Fatalf("day %d: %v", day, err)
				}
				if day < 3600 && verify(old.PEM, leaf, name) != nil {
					t.Fatalf("day %d: who trusts the first certificate does not come in", day)
				}
				if name == localhost && !leaf.Equal(previous) {
					previous = leaf
					renewals++
				}
			}
			time.Sleep(5 * 24 * time.Hour)
		}
		if renewals != 11*365/60 {
			t.Errorf("%d certificates, want %d", renewals, 11*365/60)
		}
		if events := h.told(); len(events) != 1 || !strings.Contains(events[0], "before") || h.Certificate().Fingerprint == old.Fingerprint {
			t.Errorf("events %q", events)
		}
		time.Sleep(5 * 365 * 24 * time.Hour) // asleep
		if err := verify(h.Certificate().PEM, h.leafFor(t, maple, "127.0.0.1:1"), maple); err != nil {
			t.Errorf("after a long sleep: %v", err)
		}
	})
}

// TestUnwritable: a host that cannot write lets clients in all the same.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, filepath.Join(dir, "certificate"), maple)
		old := h.Certificate()
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		h.names = []string{"elm.home.kith.alt"}
		if err := h.Update(); err == nil || h.Certificate().Fingerprint != old.Fingerprint || len(h.told()) > 0 {
			t.Errorf("update: %v, events %q; want the certificate as it was", err, h.told())
		}
		time.Sleep(leafLife)
		for _, name := range []string{localhost, maple} {
			if err := verify(old.PEM, h.leafFor(t, name, "127.0.0.1:1"), name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestManyNames has a client ask for one site after the other.
func TestManyNames(t *testing.T) {
	h := start(t, t.TempDir(), maple)
	for i := range 3 * maxLeaves {
		name := "site-" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + ".localhost"
		h.leafFor(t, name, "127.0.0.1:1")
	}
	if n := len(h.leaves); n > maxLeaves {
		t.Errorf("%d certificates are kept, at most %d", n, maxLeaves)
	}
}

func FuzzParsePair(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	key, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	made, err := newAuthority(key, authoritySubject("x"), nil)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: made.certificate.Raw})...))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := parsePair(text); err == nil && (p.key == nil || p.certificate == nil) {
			t.Errorf("%q is no pair", text)
		}
	})
}

// FuzzServerName has clients ask for anything: what they get is good for it or for
// localhost.
func FuzzServerName(f *testing.F) {
	for _, c := range names {
		f.Add(c.name)
	}
	dir := f.TempDir()
	a := New(Config{Dir: dir, Title: "x", Names: func() []string { return []string{maple, phoneIP} }, Event: func(string) {}, Log: slog.New(slog.DiscardHandler)})
	if err := a.Open(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := a.answer(&tls.ClientHelloInfo{ServerName: name, Conn: localConn{address: "127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		good := localhost
		if len(got.Leaf.DNSNames) > 0 {
			good = got.Leaf.DNSNames[0]
		} else if len(got.Leaf.IPAddresses) > 0 {
			good = got.Leaf.IPAddresses[0].String()
		}
		if good != localhost && good != strings.ToLower(name) {
			t.Errorf("%q got %q", name, good)
		}
		if err := verify(a.Certificate().PEM, got.Leaf, good); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	})
}
