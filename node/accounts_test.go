package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	mellium "mellium.im/sasl"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
	"kith.alt/kith/proto/sasl"
)

// hostOf starts a node again with an application that hands out its host.
func hostOf(m *kithtest.Mesh, n *kithtest.Node) kith.Host {
	var host kith.Host
	n.Stop()
	n.Config.Apps = []kith.App{{
		Name: "probe",
		New: func(h kith.Host) (kith.Service, error) {
			host = h
			return kith.Service{Serve: func(ctx context.Context) error { <-ctx.Done(); return nil }}, nil
		},
	}}
	m.Start(n)
	return host
}

// TestLogin signs in to a node as client programs do.
func TestLogin(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple := m.Nodes[0]
	ctx := t.Context()
	if err := maple.AddAccount(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	password, err := maple.AddAppPassword(ctx, "ann", "phone")
	if err != nil {
		t.Fatal(err)
	}
	host := hostOf(m, maple)
	names, err := host.Accounts().Names(ctx)
	if err != nil || len(names) != 2 || names[1] != "ann" {
		t.Errorf("names: %q, %v", names, err)
	}
	users := map[string]kith.Kind{
		"ann": "", "ANN": "", "ann@maple.home.kith.alt": "", "Ann@Maple.Home.Kith.Alt": "", "ann@maple": "", "ann@localhost": "",
		"ann@" + host.ID().String() + ".kith.alt": "",
		"ann@oak.home.kith.alt":                   kith.Denied, // its own ann is another person
		"ann@example.org":                         kith.Denied,
		"ann@":                                    kith.Denied,
		"@maple":                                  kith.Denied,
		names[0]:                                  kith.Denied,
		"nobody":                                  kith.Denied,
	}
	for user, want := range users {
		for _, mechanism := range sasl.Mechanisms() {
			account, err := signIn(ctx, host, mechanism, user, password.Secret)
			if want == "" && (err != nil || account != "ann") || want != "" && (!errors.Is(err, want) || account != "") {
				t.Errorf("%s as %s: %q, %v; want kind %q", mechanism, user, account, err, want)
			}
			if err != nil && strings.Contains(err.Error(), password.Secret) {
				t.Errorf("%s: the error tells the password", mechanism)
			}
		}
	}
	if err := maple.Rename(ctx, control.RenameRequest{Host: "elm"}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann@elm.home.kith.alt", "ann@maple.home.kith.alt"} {
		if account, err := signIn(ctx, host, sasl.ScramSHA256, user, password.Secret); err != nil || account != "ann" {
			t.Errorf("after renaming, as %s: %q, %v", user, account, err)
		}
	}
}

// signIn signs in with somebody else's client.
func signIn(ctx context.Context, host kith.Host, mechanism, user, secret string) (account string, err error) {
	server, err := sasl.New(ctx, mechanism, sasl.Config{
		Accounts: host.Accounts(), Source: "test " + user,
		Success: func(name string) error { account = name; return nil },
	})
	if err != nil {
		return "", err
	}
	with := mellium.Plain
	if mechanism == sasl.ScramSHA256 {
		with = mellium.ScramSha256
	}
	client := mellium.NewClient(with, mellium.Credentials(func() ([]byte, []byte, []byte) { return []byte(user), []byte(secret), nil }))
	_, says, err := client.Step(nil)
	for err == nil {
		hears, done, err := server.Next(append([]byte{}, says...))
		if err != nil || done {
			return account, err
		}
		if _, says, err = client.Step(hears); err != nil {
			return "", err
		}
	}
	return "", err
}

// TestTLS has a client trust a node's certificate, which follows the host's names.
func TestTLS(t *testing.T) {
	m := kithtest.New(t, "maple")
	maple := m.Nodes[0]
	host := hostOf(m, maple)
	trusted := func() string {
		t.Helper()
		certificate, err := maple.Certificate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return certificate.PEM
	}
	verify := func(pem, name string) error {
		t.Helper()
		got, err := host.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(pem))
		_, err = got.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		return err
	}
	before := trusted()
	id := host.ID().String() + ".kith.alt"
	for _, name := range []string{"localhost", "maple--home.localhost", "maple.home.kith.alt", id} {
		if err := verify(before, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(before, "oak.home.kith.alt"); err == nil {
		t.Error("maple answers for oak")
	}
	if err := maple.Rename(t.Context(), control.RenameRequest{Host: "elm"}); err != nil {
		t.Fatal(err)
	}
	m.Until(maple, "a new certificate", func(control.Status) bool { return trusted() != before })
	after := trusted()
	for _, name := range []string{"localhost", "elm--home.localhost", "maple.home.kith.alt", id} {
		if err := errors.Join(verify(before, name), verify(after, name)); err != nil {
			t.Errorf("after renaming, %s: %v", name, err)
		}
	}
	if verify(before, "elm.home.kith.alt") == nil || verify(after, "elm.home.kith.alt") != nil {
		t.Errorf("elm: %v", verify(after, "elm.home.kith.alt"))
	}
}

// TestOtherNames: what an application answers to is known on other hosts.
func TestOtherNames(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	maple, oak := hostOf(m, m.Nodes[0]), hostOf(m, m.Nodes[1])
	for _, names := range [][]string{{"film", "annie"}, nil, {"garden"}} {
		if err := maple.SetNames(t.Context(), names); err != nil {
			t.Fatal(err)
		}
		m.Until(m.Nodes[1], "knows the names of maple", func(control.Status) bool {
			return slices.ContainsFunc(oak.Members(), func(other kith.Member) bool {
				return other.ID == maple.ID() && slices.Equal(other.Names, names) && !other.More
			})
		})
	}
	if err := maple.SetNames(t.Context(), []string{"no label"}); !errors.Is(err, kith.Invalid) {
		t.Errorf("a name that is none: %v", err)
	}
}
