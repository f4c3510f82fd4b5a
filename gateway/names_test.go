package gateway

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"kith.alt/kith"
)

// nameless is a gateway that knows its group, and nobody in it.
func nameless() *Gateway {
	return New(Config{
		Self:    func() kith.Name { return kith.Name{Host: "oak", Group: "home"} },
		Log:     slog.New(slog.DiscardHandler),
		Metrics: new(kith.Metrics),
	})
}

// TestFullName is the table of what the proxy connects to.
func TestFullName(t *testing.T) {
	g := nameless()
	id := idOf("x").String()
	for host, want := range map[string]string{
		"maple":                "maple.home.kith.alt",
		"MAPLE":                "maple.home.kith.alt",
		"maple.":               "maple.home.kith.alt",
		"maple.home.kith.alt":  "maple.home.kith.alt",
		"Maple.Home.KITH.alt.": "maple.home.kith.alt",
		"maple.lab.kith.alt":   "maple.lab.kith.alt",
		"1st":                  "1st.home.kith.alt",
		"7.home.kith.alt":      "7.home.kith.alt",
		id + ".kith.alt":       id + ".kith.alt",
		id:                     id + ".kith.alt",
	} {
		if got, err := g.fullName(host); got != want || err != nil {
			t.Errorf("%s is %s, %v; want %s", host, got, err, want)
		}
	}
	refused := []string{
		// IPv4 in every form that inet_aton and browsers read, and IPv6
		"127.0.0.1", "10.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.0x1",
		"0177.0.0.1", "0", "0x", "127.0.0.1.", "1.2.3.4.5", "169.254.169.254", "256", "4294967296",
		"::1", "[::1]", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "fe80::1%eth0", "::",
		"127。0。0。1", "①②⑦.0.0.1", "%31%32%37.0.0.1",
		// this computer, and the Internet
		"localhost", "LOCALHOST", "localhost.", "maple--home.localhost", "a.localhost", "localhost.localdomain",
		"example.org", "maple.home", "kith.alt", "maple.home.kith.alt.example.org", "127.0.0.1.nip.io", "maple.home.kith.alt.nip.io",
		// not names
		"", ".", "..", "maple..", "-maple", "ma_ple", "a--b", "maple home", "maple\x00", "mäple", "*", "a/b", "a@b", "maple:80",
		".kith.alt", "home.kith.alt", "..kith.alt", "a.b.c.kith.alt", "127.0.0.1.kith.alt", "maple.home.kith.alt..", strings.Repeat("a", 64),
	}
	for _, host := range refused {
		if got, err := g.fullName(host); !errors.Is(err, kith.Denied) && !errors.Is(err, kith.Invalid) {
			t.Errorf("%q is %q, %v; want a refusal", host, got, err)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{"maple--home.localhost:8080", "127.0.0.1", "[::1]:80", "0x7f.1", "maple.home.kith.alt.:80"} {
		f.Add(seed)
	}
	g := nameless()
	f.Fuzz(func(t *testing.T, text string) {
		host, _, ok := splitHost(text)
		if !ok {
			return
		}
		if label, ok := strings.CutSuffix(host, localDomain); ok {
			if name, err := parseSiteLabel(label); err == nil && len(label) <= kith.MaxLabel {
				if again := siteLabel(name, idOf("x")); again != label && !strings.HasPrefix(name, label+".") {
					t.Errorf("%q is %q, which is %q", label, name, again)
				}
			}
		}
		if name, err := g.fullName(host); err == nil {
			if again, err := g.fullName(name); again != name || err != nil || !strings.HasSuffix(name, ".kith.alt") {
				t.Errorf("%q is %q, which is %q, %v", host, name, again, err)
			}
		}
	})
}
