package test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/kithtest/require"
)

// TestMailOnPhone has a mail program on another computer of the local network, which knows nothing of
// kith: once the owner has opened mail it reads and sends, by a name that it asks the network for, with the
// certificate of the host; and not before, nor after.
func TestMailOnPhone(t *testing.T) {
	t.Parallel()
	require.Tool(t, "curl")
	l := netlab.New(t)
	maple, phone := l.Computer("maple"), l.Computer("phone")
	l.Cable(maple, phone)
	maple.SetAddress("192.168.77.1/24")
	phone.SetAddress("192.168.77.2/24")
	m := l.Member(maple)
	m.Up("--name maple")
	secret := strings.TrimSpace(m.Must("kith account add ann --app --label phone", m.Home))

	dir := t.TempDir()
	ca, text := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("From: <ann@maple.home.kith.alt>\r\nTo: <ann@maple>\r\nSubject: From the phone\r\n\r\nHello.\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "maple--home.local"
	curl := func(at, rest string) (string, error) {
		return phone.Output(fmt.Sprintf("curl --silent --show-error --max-time 20 --cacert %s --user ann:%s --resolve %s:1993:%s --resolve %s:1465:%s %s", ca, secret, name, at, name, at, rest), dir)
	}
	reads := func(when, at string) {
		t.Helper()
		if said, err := curl(at, "imaps://"+name+":1993/INBOX?ALL"); err != nil || !strings.Contains(said, "SEARCH") {
			t.Errorf("%s: %v %s", when, err, said)
		}
	}
	shut := func(when string) {
		t.Helper()
		phone.Inside(func() error {
			for _, port := range []string{"1993", "1995", "1465", "1143", "1587", "8080"} {
				if conn, err := net.DialTimeout("tcp", "192.168.77.1:"+port, 5*time.Second); err == nil {
					conn.Close()
					t.Errorf("%s: port %s is open", when, port)
				}
			}
			return nil
		})
	}
	shut("before it is opened")
	m.Must("kith open mail", m.Home)
	m.Must("kith ca -o "+ca, m.Home)

	at := askLocal(t, phone, name)
	if at.String() != "192.168.77.1" {
		t.Fatalf("%s is %s", name, at)
	}
	if said, err := curl(at.String(), "--mail-from ann@maple.home.kith.alt --mail-rcpt ann@maple --upload-file "+text+" smtps://"+name+":1465"); err != nil {
		t.Fatalf("submit: %v %s", err, said)
	}
	if said, err := curl(at.String(), "'imaps://"+name+":1993/INBOX;UID=1'"); err != nil || !strings.Contains(said, "From the phone") {
		t.Errorf("read: %v %s", err, said)
	}
	if said, err := curl(at.String(), "--user ann:wrong imaps://"+name+":1993/INBOX?ALL"); err == nil {
		t.Errorf("anybody reads: %s", said)
	}
	if said, err := curl(at.String(), "pop3s://"+name+":1995/1 --resolve "+name+":1995:"+at.String()); err != nil || !strings.Contains(said, "From the phone") {
		t.Errorf("fetch: %v %s", err, said)
	}

	m.Node.Stop()
	m.Up("")
	maple.SetAddress("192.168.77.9/24")
	m.Eventually("kith status", m.Home, "192.168.77.9:1993")
	reads("after a restart, at another address, with the certificate of before", askLocal(t, phone, name).String())

	m.Must("kith open mail --to 192.168.77.9", m.Home)
	m.Must("kith ca -o "+ca, m.Home)
	if said, err := phone.Output(fmt.Sprintf("curl --silent --show-error --max-time 20 --cacert %s --user ann:%s imaps://192.168.77.9:1993/INBOX?ALL", ca, secret), dir); err != nil {
		t.Errorf("by its address: %v %s", err, said)
	}

	maple.SetAddress("192.168.77.1/24")
	m.Must("kith close mail", m.Home)
	shut("closed")
}

// askLocal asks a computer's network for a name (RFC 6762 5.1).
func askLocal(t *testing.T, c *netlab.Computer, name string) netip.Addr {
	t.Helper()
	conn := c.ListenUDP(c.Address().String() + ":0")
	defer conn.Close()
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName(name + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
	}}
	packed, err := question.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1500)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if _, err := conn.WriteTo(packed, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := conn.ReadFrom(answer)
		if err != nil {
			continue
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer[:n]); err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Answers {
			if body, ok := a.Body.(*dnsmessage.AResource); ok && strings.EqualFold(a.Header.Name.String(), name+".") {
				return netip.AddrFrom4(body.A)
			}
		}
	}
	t.Fatalf("nobody answers for %s", name)
	return netip.Addr{}
}
