package mailconfig

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith/kithtest/require"
)

var update = flag.Bool("update", false, "write the golden files")

// ann's settings on maple, and some of somebody who means no good.
func ann() Settings {
	return Settings{
		Provider: "kith on maple", Domain: "maple.home.kith.alt", Name: "Ann", Address: "ann@maple.home.kith.alt", Authority: []byte("a certificate"),
		Servers: []Server{
			{Protocol: IMAP, Host: "localhost", Port: 1993},
			{Protocol: IMAP, Host: "localhost", Port: 1143, StartTLS: true},
			{Protocol: POP3, Host: "localhost", Port: 1995},
			{Protocol: SMTP, Host: "localhost", Port: 1465},
			{Protocol: SMTP, Host: "localhost", Port: 1587, StartTLS: true},
		},
	}
}

const hostile = `</string><true/>&amp;"'<![CDATA[` + "\x00\xff]]>"

func hostileSettings() Settings {
	return Settings{
		Provider: hostile, Domain: hostile, Name: hostile, Address: hostile + "@" + hostile, Authority: []byte(hostile),
		Servers: []Server{{Protocol: POP3, Host: hostile, Port: 1}, {Protocol: SMTP, Host: hostile, Port: 65535}},
	}
}

func TestGolden(t *testing.T) {
	for name, settings := range map[string]Settings{"ann": ann(), "hostile": hostileSettings()} {
		for ending, form := range map[string]func() ([]byte, error){".xml": settings.Autoconfig, ".mobileconfig": settings.Profile} {
			got, err := form()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+ending)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v; -update writes it\n%s", path, err, got)
			}
			wellFormed(t, got)
		}
	}
}

// TestMobile compares with what Thunderbird's description of the form has.
func TestMobile(t *testing.T) {
	settings := ann()
	settings.Servers = settings.Servers[:4]
	for password, want := range map[string]string{
		"":              `[1,[1,1],[0,"localhost",1993,3,1,"ann@maple.home.kith.alt"],[[[0,"localhost",1465,3,1,"ann@maple.home.kith.alt"],["ann@maple.home.kith.alt","Ann"]]]]`,
		"amber-\"finch": `[1,[1,1],[0,"localhost",1993,3,1,"ann@maple.home.kith.alt","","amber-\"finch"],[[[0,"localhost",1465,3,1,"ann@maple.home.kith.alt","amber-\"finch"],["ann@maple.home.kith.alt","Ann"]]]]`,
	} {
		if got, err := settings.Mobile(password); err != nil || string(got) != want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
	settings.Servers = []Server{{Protocol: POP3, Host: "h", Port: 1, StartTLS: true}, {Protocol: SMTP, Host: "h", Port: 2, StartTLS: true}}
	want := `[1,[1,1],[1,"h",1,2,1,"ann@maple.home.kith.alt"],[[[0,"h",2,2,1,"ann@maple.home.kith.alt"],["ann@maple.home.kith.alt","Ann"]]]]`
	if got, err := settings.Mobile(""); err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := (Settings{}).Mobile("x"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("without anything: %v", err)
	}
}

func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
}

func TestIncomplete(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"provider":          func(s *Settings) { s.Provider = "" },
		"domain":            func(s *Settings) { s.Domain = "" },
		"servers":           func(s *Settings) { s.Servers = nil },
		"server to read":    func(s *Settings) { s.Servers = s.Servers[3:] },
		"server to submit":  func(s *Settings) { s.Servers = s.Servers[:3] },
		"port":              func(s *Settings) { s.Servers[1].Port = 0 },
		"port beyond 65535": func(s *Settings) { s.Servers[1].Port = 65536 },
		"host":              func(s *Settings) { s.Servers[1].Host = "" },
	} {
		s := ann()
		change(&s)
		if _, err := s.Autoconfig(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("autoconfig without %s: %v", name, err)
		}
		if _, err := s.Profile(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("profile without %s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Settings){
		"address": func(s *Settings) { s.Address = "@maple.home.kith.alt" }, "certificate": func(s *Settings) { s.Authority = nil },
	} {
		s := ann()
		change(&s)
		if _, err := s.Profile(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("profile without %s: %v", name, err)
		}
	}
}

// TestPropertyList has somebody else's reader read profiles.
func TestPropertyList(t *testing.T) {
	python := require.Tool(t, "python3")
	const script = `
import plistlib, sys
profile = plistlib.loads(sys.stdin.buffer.read())
certificate, account = profile["PayloadContent"]
assert profile["PayloadType"] == "Configuration" and profile["PayloadVersion"] == 1
assert len({p["PayloadUUID"] for p in (profile, certificate, account)}) == 3
print(certificate["PayloadContent"].decode("utf-8", "replace"), account["EmailAddress"], account["EmailAccountType"],
      account["IncomingMailServerPortNumber"] + account["OutgoingMailServerPortNumber"], account["IncomingMailServerUseSSL"])
`
	for name, c := range map[string]struct {
		settings Settings
		want     string
	}{
		"ann":     {ann(), "a certificate ann@maple.home.kith.alt EmailTypeIMAP 3458 True"},
		"hostile": {hostileSettings(), "EmailTypePOP 65536 True"},
	} {
		profile, err := c.settings.Profile()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(python, "-c", script)
		cmd.Stdin = bytes.NewReader(profile)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}

// FuzzSettings: whatever people call themselves and their computers, the answer is
// well-formed.
func FuzzSettings(f *testing.F) {
	f.Add("kith on maple", "maple.home.kith.alt", "Ann", "ann@maple.home.kith.alt", "localhost", 1993)
	f.Add(hostile, hostile, hostile, hostile, hostile, 1)
	f.Fuzz(func(t *testing.T, provider, domain, name, address, host string, port int) {
		s := Settings{Provider: provider, Domain: domain, Name: name, Address: address, Authority: []byte(name),
			Servers: []Server{{IMAP, host, port, false}, {SMTP, host, port, true}}}
		for _, form := range []func() ([]byte, error){s.Autoconfig, s.Profile} {
			text, err := form()
			if err == nil {
				wellFormed(t, text)
			} else if !errors.Is(err, ErrIncomplete) {
				t.Error(err)
			}
		}
	})
}
