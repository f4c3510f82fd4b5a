package admin

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kith.alt/kith/control"
)

func TestMailSettings(t *testing.T) {
	c := newClient(t, newFake(7))
	page := c.get("/settings/programs")
	checkPage(t, page)
	for _, want := range []string{
		"ada@maple.home.kith.alt", "Reading (IMAP)", "1993", "1143", "STARTTLS", "Sending (SMTP)", "1465", "1587", `name="label" value="mail"`,
		"/settings/mail/profile.mobileconfig", "kith ca -o", "kith on maple (3fk2pa)", "7B:7B",
	} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, absent := range []string{"1995", "POP3"} { // it does not listen
		if strings.Contains(page.Body.String(), absent) {
			t.Errorf("the page has %q", absent)
		}
	}

	for path, want := range map[string]struct{ mediaType, name, text string }{
		"/settings/mail/autoconfig.xml":       {"application/xml", "maple.home.kith.alt.xml", "<port>1993</port>"},
		"/settings/mail/profile.mobileconfig": {"application/x-apple-aspen-config", "kith-ada-maple.mobileconfig", "<string>ada@maple.home.kith.alt</string>"},
		"/settings/certificate":               {"application/x-x509-ca-cert", "kith-maple.crt", "-----BEGIN CERTIFICATE-----"},
	} {
		w := c.get(path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want.mediaType || !strings.Contains(w.Header().Get("Content-Disposition"), want.name) {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
		if !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%s lacks %q:\n%s", path, want.text, w.Body)
		}
		anybody := c.request("GET", path, nil)
		anybody.Header.Del("Cookie")
		if w := c.do(anybody); w.Code == http.StatusOK {
			t.Errorf("%s is given to who has not signed in", path)
		}
	}
	var config struct {
		XMLName xml.Name `xml:"clientConfig"`
	}
	if err := xml.Unmarshal(c.admin.Autoconfig(t.Context()), &config); err != nil {
		t.Error(err)
	}
}

func TestNoMail(t *testing.T) {
	node := newFake(1)
	node.status.Listeners = append(node.status.Listeners,
		control.Listener{App: "mail", Protocol: "submission", Address: "127.0.0.1:1587"}, // nothing to read from
		control.Listener{App: "mail", Protocol: "imap", Address: "overlay:143"},
		control.Listener{App: "web", Protocol: "imaps", Address: "127.0.0.1:1993"})
	c := newClient(t, node)
	page := c.get("/settings/programs")
	checkPage(t, page)
	if strings.Contains(page.Body.String(), "<h2>Mail</h2>") || !strings.Contains(page.Body.String(), "The certificate of this computer") {
		t.Error("the page has mail, or no certificate")
	}
	for _, path := range []string{"/settings/mail/autoconfig.xml", "/settings/mail/profile.mobileconfig"} {
		if w := c.get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if text := c.admin.Autoconfig(t.Context()); text != nil {
		t.Errorf("autoconfig: %s", text)
	}
}

// TestMailServers: the servers as programs are told them, the best first.
func TestMailServers(t *testing.T) {
	servers := mailServers(control.Status{Listeners: []control.Listener{
		{App: "mail", Protocol: "imap", Address: "192.168.1.20:1143"},
		{App: "mail", Protocol: "imaps", Address: "[::]:1993"},
		{App: "mail", Protocol: "submissions", Address: "127.0.0.1:0x1"},
		{App: "mail", Protocol: "submission", Address: "[::1]:1587"},
	}})
	want := []string{"localhost 1993 false", "192.168.1.20 1143 true", "localhost 1587 true"}
	if len(servers) != len(want) {
		t.Fatalf("%+v", servers)
	}
	for i, s := range servers {
		if got := fmt.Sprintf("%s %d %v", s.Host, s.Port, s.StartTLS); got != want[i] {
			t.Errorf("server %d: %s, want %s", i, got, want[i])
		}
	}
}
