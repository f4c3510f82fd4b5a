package certificate

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
)

func mustParse(address string) netip.AddrPort { return netip.MustParseAddrPort(address) }

func writeFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A verifier is a program that judges a certificate for a name by one authority.
type verifier struct {
	name  string
	judge func(ca, leaf, name string) *exec.Cmd
}

func verifiers(t *testing.T) []verifier {
	t.Helper()
	openssl, certtool := require.Tool(t, "openssl"), require.Tool(t, "certtool")
	return []verifier{
		{"OpenSSL", func(ca, leaf, name string) *exec.Cmd {
			check := "-verify_hostname"
			if net.ParseIP(name) != nil {
				check = "-verify_ip"
			}
			return exec.Command(openssl, "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", "sslserver", check, name, "-CAfile", ca, leaf)
		}},
		{"GnuTLS", func(ca, leaf, name string) *exec.Cmd {
			return exec.Command(certtool, "--verify", "--verify-purpose", "1.3.6.1.5.5.7.3.1", "--verify-hostname", name, "--load-ca-certificate", ca, "--infile", leaf)
		}},
	}
}

// TestVerifiers has other people's code judge what the authority signs: for its own
// names and, as if its key had been stolen, for others.
func TestVerifiers(t *testing.T) {
	programs := verifiers(t)
	h := start(t, t.TempDir(), maple, mapleID, phoneIP)
	dir := t.TempDir()
	ca := writeFile(t, filepath.Join(dir, "ca.pem"), h.Certificate().PEM)
	for _, c := range []struct {
		name string
		good bool
	}{
		{"localhost", true},
		{"maple--home.localhost", true},
		{maple, true},
		{mapleID, true},
		{phoneIP, true},
		{"oak.home.kith.alt", false},
		{"home.kith.alt", false},
		{"maple.work.kith.alt", false},
		{"xmaple.home.kith.alt", false},
		{"example.org", false},
		{"localhost.example.org", false},
		{"192.168.1.21", false},
		{"93.184.215.14", false},
		{"::2", false},
	} {
		leaf, err := newLeaf(h.ca, h.server, c.name)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(h.Certificate().PEM, leaf.Leaf, c.name); (err == nil) != c.good {
			t.Errorf("Go, %s: %v", c.name, err)
		}
		path := writeFile(t, filepath.Join(dir, "leaf.pem"), pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: leaf.Leaf.Raw}))
		for _, program := range programs {
			if out, err := program.judge(ca, path, c.name).CombinedOutput(); (err == nil) != c.good {
				t.Errorf("%s, %s: %v\n%s", program.name, c.name, err, out)
			}
		}
	}

	// An authority below it is none.
	below, err := newAuthority(h.server, authoritySubject("below"), []string{maple})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := sign(below.certificate, h.ca.certificate, h.server, h.ca.key)
	if err != nil {
		t.Fatal(err)
	}
	below.certificate = signed
	leaf, err := newLeaf(below, h.server, maple)
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, filepath.Join(dir, "below.pem"), append(
		pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: leaf.Leaf.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: signed.Raw})...))
	openssl := exec.Command("openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", ca, "-untrusted", path, path)
	if out, err := openssl.CombinedOutput(); err == nil {
		t.Errorf("OpenSSL accepts an authority below the authority\n%s", out)
	}
}

// TestClients connects with programs that people use, for a listener that runs on while
// its certificate changes.
func TestClients(t *testing.T) {
	curl, python := require.Tool(t, "curl"), require.Tool(t, "python3")
	h := start(t, t.TempDir(), maple, mapleID)
	ca := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), h.Certificate().PEM)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })}
	go server.Serve(tls.NewListener(ln, h.TLS()))
	t.Cleanup(func() { server.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())

	const script = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as raw:
    with context.wrap_socket(raw, server_hostname=sys.argv[3]) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while part := s.recv(1000):
            print(part.decode(), end="")
`
	try := func(name string, good bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		fetch := []string{"-sS", "--noproxy", "*", "--cacert", ca, "--capath", os.DevNull, "--resolve", name + ":" + port + ":127.0.0.1", "https://" + name + ":" + port + "/"}
		for client, cmd := range map[string]*exec.Cmd{
			"curl":              exec.CommandContext(ctx, curl, fetch...),
			"curl with TLS 1.2": exec.CommandContext(ctx, curl, append(fetch, "--tls-max", "1.2")...),
			"Python":            exec.CommandContext(ctx, python, "-c", script, ca, port, name),
		} {
			if out, err := cmd.CombinedOutput(); (err == nil) != good {
				t.Errorf("%s, %s: %v\n%s", client, name, err, out)
			}
		}
	}
	for _, name := range []string{"localhost", "127.0.0.1", maple, mapleID, "maple--home.localhost"} {
		try(name, true)
	}
	for _, name := range []string{"oak.home.kith.alt", "example.org", "127.0.0.2"} {
		try(name, false)
	}
	h.rename(t, "elm.home.kith.alt", mapleID)
	try("localhost", true) // with the certificate from before
	try("elm.home.kith.alt", false)
	writeFile(t, ca, h.Certificate().PEM)
	try("elm.home.kith.alt", true)
	try("localhost", true)
}
