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
	status := control.Status{Listeners: []control.Listener{
		{App: "mail", Protocol: "imap", Address: "192.168.1.20:1143"},
		{App: "mail", Protocol: "imap", Address: "10.1.1.20:1143"},
		{App: "mail", Protocol: "imaps", Address: "[::]:1993"},
		{App: "mail", Protocol: "submissions", Address: "127.0.0.1:0x1"},
		{App: "mail", Protocol: "submission", Address: "[::1]:1587"},
	}}
	for _, c := range []struct {
		phone      bool
		open, want string
	}{
		{false, "", "localhost 1993 false; localhost 1587 true; "},
		{true, "lan", "maple--home.local 1143 true; "},
		{true, "192.168.1.20", "192.168.1.20 1143 true; "},
	} {
		status.Doors = []control.Door{{App: "share", Open: "any"}, {App: "mail", Open: c.open, Name: "maple--home.local"}}
		got := ""
		for _, s := range mailServers(status, c.phone) {
			got += fmt.Sprintf("%s %d %v; ", s.Host, s.Port, s.StartTLS)
		}
		if got != c.want {
			t.Errorf("open to %q: %s", c.open, got)
		}
	}
}

// TestPhone: the door as it is closed and open, and what a phone gets.
func TestPhone(t *testing.T) {
	node := newFake(3)
	c := newClient(t, node)
	page := c.get("/settings/programs")
	checkPage(t, page)
	if !strings.Contains(page.Body.String(), "Let phones on my network in") {
		t.Error("mail cannot be opened")
	}
	c.post("/settings/mail/open", "to", "lan")
	if got := node.asked(); got != `open mail "lan"` {
		t.Errorf("to open it the node was asked: %s", got)
	}
	node = newFake(7)
	c = newClient(t, node)
	page = c.get("/settings/programs")
	checkPage(t, page)
	for _, want := range []string{"maple--home.local", "Port 1465 at 10.1.1.7 is taken", "Show the code", "profile.mobileconfig?phone", "kith open mail --to 192.168.1.20"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if profile := c.get("/settings/mail/profile.mobileconfig?phone").Body.String(); strings.Count(profile, "<string>maple--home.local</string>") != 2 {
		t.Errorf("profile: %s", profile)
	}
	page = c.post("/settings/mail/phone")
	checkPage(t, page)
	for _, want := range []string{"amber-finch", "maple--home.local", "as a QR code"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page with the code does not have %q", want)
		}
	}
	c.post("/settings/mail/open", "to", "")
	if got := node.asked(); got != `app password ada mail on a phone; open mail ""` {
		t.Errorf("to close it the node was asked: %s", got)
	}
}
