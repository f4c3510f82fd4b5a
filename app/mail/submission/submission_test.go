package submission

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
	"kith.alt/kith/kithtest/require"
)

// A world is a server on loopback.
type world struct {
	host          *apptest.Host
	boxes         *mailbox.Store
	plain, secure string // addresses
}

func start(t testing.TB, change func(*Config)) *world {
	t.Helper()
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	w := &world{host: host, boxes: mailbox.New(mailbox.Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})}
	cfg := Config{
		Delivery: delivery.New(delivery.Config{Host: host, Mailboxes: w.boxes, Book: address.New(host)}),
		Accounts: host.Accounts(), Name: host.Name, TLS: host.TLS, Trusted: func(net.Conn) bool { return true },
		Log: slog.New(slog.DiscardHandler), Metrics: host.Metrics(),
	}
	if change != nil {
		change(&cfg)
	}
	server := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	for _, secure := range []bool{false, true} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if secure {
			w.secure = listener.Addr().String()
		} else {
			w.plain = listener.Addr().String()
		}
		go func() { done <- server.Serve(ctx, listener, secure) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
		server.mu.Lock()
		defer server.mu.Unlock()
		if server.total != 0 || len(server.of) != 0 {
			t.Errorf("%d connections are left, %v", server.total, server.of)
		}
	})
	return w
}

// inbox returns the messages of ann.
func (w *world) inbox(t testing.TB) (list []mailbox.Message) {
	t.Helper()
	if err := w.boxes.Prepare(t.Context(), apptest.Ann); err != nil {
		t.Fatal(err)
	}
	f, err := w.boxes.Folder(t.Context(), apptest.Ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if list, err = w.boxes.Messages(t.Context(), f.ID, mailbox.Range{From: 1, To: imap.UID(1<<32 - 1)}, 1000, true); err != nil {
		t.Fatal(err)
	}
	return list
}

// A client types.
type client struct {
	*textproto.Conn
	conn net.Conn
	t    testing.TB
}

func (w *world) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &client{textproto.NewConn(conn), conn, t}
	c.hear("220")
	return c
}

// say sends a line, and checks how the answer begins.
func (c *client) say(line, want string) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", line); err != nil {
		c.t.Fatal(err)
	}
	return c.hear(want)
}

func (c *client) hear(want string) (all string) {
	c.t.Helper()
	for {
		line, err := c.ReadLine()
		if err != nil {
			c.t.Fatalf("want %s: %v", want, err)
		}
		all += line + "\n"
		if len(line) < 4 || line[3] != '-' {
			if !strings.HasPrefix(line, want) {
				c.t.Errorf("%q, want %s", line, want)
			}
			return all
		}
	}
}

var authPlain = "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00ann\x00"+apptest.AppPassword))

func (c *client) signIn() {
	c.t.Helper()
	c.say("EHLO laptop", "250")
	c.say(authPlain, "235")
}

func TestConversation(t *testing.T) {
	w := start(t, nil)
	c := w.dial(t)
	for _, step := range [][2]string{
		{"MAIL FROM:<ann@maple>", "502"},
		{authPlain, "502"},
		{"NOOP", "250"},
		{"EHLO laptop", "250"},
		{"MAIL FROM:<ann@maple>", "530 5.7.0"},
		{"RCPT TO:<ann@maple>", "502"},
		{"DATA", "502"},
		{"BDAT 0 LAST", "502"},
		{"AUTH CRAM-MD5", "504 5.7.4"},
		{"AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00ann\x00wrong")), "535 5.7.8"},
		{"AUTH PLAIN AAAA", "501 5.5.2"},
		{"AUTH PLAIN", "334"},
		{"*", "501"},
		{authPlain, "235"},
		{authPlain, "503"},
		{"MAIL FROM:<eve@maple>", "550 5.7.1"},
		{"MAIL FROM:<ann@oak>", "550 5.7.1"},
		{"MAIL FROM:<ann@example.com>", "550 5.7.1"},
		{"MAIL FROM:<ann@maple> SMTPUTF8", "504"},
		{"MAIL FROM:<ann@maple> BODY=BINARYMIME", "504"},
		{"MAIL FROM:<ann@maple> SIZE=40000000", "552 5.3.4"},
		{"MAIL FROM:<ann+list@maple.home.kith.alt> BODY=8BITMIME SIZE=1000 RET=HDRS ENVID=x+2B", "250"},
		{"RCPT TO:<bob@example.com>", "550 5.1.2 Kith mail goes to members of the group only"},
		{"RCPT TO:<bob@pine>", "550 5.1.2"},
		{"RCPT TO:<nobody@oak>", "550 5.1.1"},
		{"RCPT TO:<\"a b\"@oak>", "553 5.1.3"},
		{"DATA", "502"},
		{"RCPT TO:<bob@oak> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40oak", "250"},
		{"RCPT TO:<all@home.kith.alt>", "250"},
		{"DATA", "354"},
		{"From: ann@maple\r\nSubject: 1\r\n\r\nHello\r\n..\r\n.", "250 2.0.0"},
		{"DATA", "502"},
		{"MAIL FROM:<>", "250"},
		{"RCPT TO:<ann@localhost>", "250"},
		{"DATA", "354"},
		{"From: eve@maple\r\n\r\nx\r\n.", "550 5.7.1"},
		{"MAIL FROM:<ann@localhost>", "250"},
		{"RCPT TO:<ann@localhost>", "250"},
		{"BDAT 22\r\nFrom: ann@maple\r\n\r\nx", "250"},
		{"BDAT 3 LAST\r\ny", "250"},
		{"MAIL FROM:<ann@localhost>", "250"},
		{"RSET", "250"},
		{"RCPT TO:<ann@localhost>", "502"},
		{"QUIT", "221"},
	} {
		c.say(step[0], step[1])
	}
	list := w.inbox(t)
	letters, err := w.host.Post().Letters(t.Context(), "", 10)
	if err != nil || len(list) != 2 || len(letters) != 1 {
		t.Errorf("%d messages, %d letters, %v", len(list), len(letters), err)
	}
}

// TestPipelining sends all at once (RFC 2920).
func TestPipelining(t *testing.T) {
	w := start(t, nil)
	c := w.dial(t)
	c.signIn()
	fmt.Fprintf(c.conn, "MAIL FROM:<ann@maple>\r\nRCPT TO:<ann@maple>\r\nRCPT TO:<nobody@maple>\r\nDATA\r\nFrom: ann@maple\r\n\r\nx\r\n.\r\nQUIT\r\n")
	for _, want := range []string{"250", "250", "550", "354", "250", "221"} {
		c.hear(want)
	}
}

// TestSmuggling has what some programs take for the end of a message, and others do not.
func TestSmuggling(t *testing.T) {
	w := start(t, nil)
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n\x00.\r\n\n", "\r\r\n.\r\r\n", "\n\n.\r\n", "\r\n.\n\r\n", "\r.\n", "\n.\r", "\r\n\r.\r\n",
	} {
		c := w.dial(t)
		c.signIn()
		c.say("MAIL FROM:<ann@maple>", "250")
		c.say("RCPT TO:<ann@maple>", "250")
		c.say("DATA", "354")
		c.say("From: ann@maple\r\n\r\nx"+end+"MAIL FROM:<ann@maple>\r\nRCPT TO:<ann@maple>\r\nDATA\r\nFrom: bob@oak\r\n\r\nsmuggled\r\n.", "550 5.6.0")
		c.say("NOOP", "250")
	}
	if list := w.inbox(t); len(list) > 0 {
		t.Errorf("%d messages were taken", len(list))
	}
	c := w.dial(t) // and by BDAT
	c.signIn()
	c.say("MAIL FROM:<ann@maple>", "250")
	c.say("RCPT TO:<ann@maple>", "250")
	c.say("BDAT 24 LAST\r\nFrom: ann@maple\r\n\r\nx\n.\r\n", "550 5.6.0")
}

func TestTLS(t *testing.T) {
	w := start(t, func(c *Config) { c.Trusted = func(net.Conn) bool { return false } })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.host.CA())
	config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	c := w.dial(t)
	if heard := c.say("EHLO laptop", "250"); strings.Contains(heard, "AUTH") || !strings.Contains(heard, "STARTTLS") {
		t.Errorf("without TLS: %q", heard)
	}
	c.say(authPlain, "538 5.7.11")
	// What is sent in plain behind STARTTLS is not heard (RFC 3207 6).
	fmt.Fprintf(c.conn, "STARTTLS\r\nNOOP\r\n")
	c.hear("220")
	secured := tls.Client(c.conn, config)
	if err := secured.Handshake(); err == nil {
		c.Conn, c.conn = textproto.NewConn(secured), secured
		c.say("MAIL FROM:<ann@maple>", "502")
		if heard := c.say("EHLO laptop", "250"); !strings.Contains(heard, "AUTH SCRAM-SHA-256 PLAIN") || strings.Contains(heard, "STARTTLS") {
			t.Errorf("with TLS: %q", heard)
		}
		c.say(authPlain, "235")
	}
	conn, err := tls.Dial("tcp", w.secure, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c = &client{textproto.NewConn(conn), conn, t}
	c.hear("220")
	c.signIn()
}

func TestLimits(t *testing.T) {
	w := start(t, func(c *Config) { c.Limits = Limits{Connections: 3, PerAccount: 2, SignIn: 10 * time.Second} })
	first := w.dial(t)
	first.signIn()
	w.dial(t).signIn()
	third := w.dial(t)
	third.say("EHLO x", "250")
	third.say(authPlain, "421 4.7.0")
	conn, err := net.Dial("tcp", w.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "421 4.7.0") {
		t.Errorf("fourth: %q, %v", line, err)
	}
	first.say("MAIL FROM:<ann@maple>", "250")
	for range delivery.MaxRecipients {
		first.say("RCPT TO:<ann@maple>", "250")
	}
	first.say("RCPT TO:<ann@maple>", "452")
	first.say("NOOP "+strings.Repeat("x", maxLine), "500")
	w.host.Accounts().(*apptest.Accounts).Revoke(apptest.Ann)
}

// A pipes is a listener whose connections need no file descriptors.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestManyConnections has 5,000 clients that say nothing, and one that sends mail.
func TestManyConnections(t *testing.T) {
	var server *Server
	w := start(t, func(c *Config) { server = New(*c) })
	p := pipes{make(chan net.Conn)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, p, false) }()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const clients = 5000
	greeting := make([]byte, 512)
	for range clients {
		near, far := net.Pipe()
		defer near.Close()
		p.conns <- far
		if _, err := near.Read(greeting); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / clients; each > 40<<10 {
		t.Errorf("a connection costs %d bytes", each)
	}
	c := w.dial(t)
	c.signIn()
	c.say("MAIL FROM:<ann@maple>", "250")
	c.say("RCPT TO:<ann@maple>", "250")
	c.say("DATA", "354")
	c.say("From: ann@maple\r\n\r\nx\r\n.", "250")
	cancel()
	close(p.conns)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSlow(t *testing.T) {
	w := start(t, func(c *Config) { c.Limits = Limits{SignIn: 50 * time.Millisecond} })
	c := w.dial(t)
	if _, err := c.ReadLine(); err == nil {
		t.Error("who does not sign in stays")
	}
}

func TestRevoked(t *testing.T) {
	w := start(t, nil)
	c := w.dial(t)
	c.signIn()
	w.host.Accounts().(*apptest.Accounts).Revoke(apptest.Ann)
	if line, err := c.ReadLine(); err == nil {
		t.Errorf("heard %q", line)
	}
}

// TestPrograms has swaks, curl and msmtp send mail, and verify the certificate.
func TestPrograms(t *testing.T) {
	w := start(t, nil)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", string(w.host.CA()))
	letter := write("letter.eml", "From: ann@maple.home.kith.alt\r\nTo: bob@oak\r\nBcc: ann@maple\r\nSubject: by a program\r\n\r\nHello\r\n")
	_, plain, _ := net.SplitHostPort(w.plain)
	_, secure, _ := net.SplitHostPort(w.secure)
	for i, words := range [][]string{
		{"swaks", "--server", "localhost", "--port", plain, "--tls", "--tls-verify", "--tls-ca-path", ca, "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", apptest.AppPassword,
			"--from", "ann@maple.home.kith.alt", "--to", "ann@maple,bob@oak"},
		{"swaks", "--server", "localhost", "--port", secure, "--tls-on-connect", "--tls-verify", "--tls-ca-path", ca, "--auth", "PLAIN", "--auth-user", "ann@maple.home.kith.alt", "--auth-password", apptest.AppPassword,
			"--from", "ann@maple.home.kith.alt", "--to", "ann@maple"},
		{"curl", "-sS", "--cacert", ca, "--ssl-reqd", "--url", "smtp://localhost:" + plain, "--user", "ann:" + apptest.AppPassword, "--mail-from", "ann@maple", "--mail-rcpt", "ann@maple", "--upload-file", letter},
		{"curl", "-sS", "--cacert", ca, "--url", "smtps://localhost:" + secure, "--login-options", "AUTH=PLAIN", "--user", "ann:" + apptest.AppPassword, "--mail-from", "ann@maple", "--mail-rcpt", "ann@maple", "--upload-file", letter},
		{"msmtp", "--host=localhost", "--port=" + plain, "--tls=on", "--tls-trust-file=" + ca, "--auth=scram-sha-256", "--user=ann", "--passwordeval=echo " + apptest.AppPassword, "--from=ann@maple", "--read-recipients"},
		{"msmtp", "--host=localhost", "--port=" + secure, "--tls=on", "--tls-starttls=off", "--tls-trust-file=" + ca, "--auth=plain", "--user=ann", "--passwordeval=echo " + apptest.AppPassword, "--from=ann@maple", "ann@maple"},
	} {
		program := require.Tool(t, words[0])
		command := exec.CommandContext(t.Context(), program, words[1:]...)
		command.Env = append(os.Environ(), "HOME="+dir)
		if words[0] == "msmtp" {
			command.Stdin = strings.NewReader("From: ann@maple\nTo: bob@oak\nBcc: ann@maple\nSubject: by msmtp\n\nHello\n")
		}
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", words, err, out)
		}
		if list := w.inbox(t); len(list) != i+1 {
			t.Errorf("%d messages after %s", len(list), words)
		}
	}
}

// FuzzConversation has a client that says anything: before and after it has signed in, after MAIL and
// RCPT, within the text of a message, and after STARTTLS.
func FuzzConversation(f *testing.F) {
	f.Add("EHLO x\r\nAUTH PLAIN\r\n\x00ann\x00x\r\n", uint8(0))
	f.Add("MAIL FROM:<ann@maple> SIZE=1\r\nRCPT TO:<ann@maple> NOTIFY=NEVER\r\nDATA\r\n\r\n.\r\n", uint8(1))
	f.Add("DATA\r\nFrom: ann@maple\r\n\r\n.\r\nRSET\r\n", uint8(2))
	f.Add("BDAT 5\r\nFrom:BDAT 0 LAST\r\nRSET\r\n", uint8(2))
	f.Add("AUTH SCRAM-SHA-256 biwsbj1hbm4scj14\r\nYz1iaXdz\r\n", uint8(3))
	f.Add("From: ann@maple\r\nSubject: x\r\n\r\n..\r\nHello\r\n.\r\nRSET\r\n", uint8(4))
	f.Add("From: ann@maple\r\n\r\nHello\n.\r\nMAIL FROM:<ann@maple>\r\n\r\n.\r\n", uint8(4))
	f.Add("AUTH PLAIN AGFubgB4\r\nMAIL FROM:<ann@maple>\r\n", uint8(5))
	w := start(f, nil)
	f.Fuzz(func(t *testing.T, text string, state uint8) {
		if strings.Contains(strings.ToUpper(text), "STARTTLS") {
			t.Skip("the rest is TLS")
		}
		c := w.dial(t)
		signedIn := false
		switch state % 6 {
		case 1:
			c.signIn()
			signedIn = true
		case 2, 4:
			c.signIn()
			c.say("MAIL FROM:<ann@maple>", "250")
			c.say("RCPT TO:<ann@maple>", "250")
			if signedIn = true; state%6 == 4 {
				c.say("DATA", "354")
			}
		case 3:
			c.say("EHLO x", "250")
		case 5:
			c.say("EHLO x", "250")
			c.say("STARTTLS", "220")
			secure := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
			c = &client{textproto.NewConn(secure), secure, t}
			c.say("EHLO x", "250")
		}
		c.conn.Write([]byte(text))
		c.conn.(interface{ CloseWrite() error }).CloseWrite()
		for {
			line, err := c.ReadLine()
			if err != nil {
				break
			}
			if len(line) < 4 || line[0] < '2' || line[0] > '5' {
				t.Fatalf("%q in state %d: %q", text, state, line)
			}
			if !signedIn && (strings.HasPrefix(line, "235") || strings.HasPrefix(line, "354")) {
				t.Fatalf("%q in state %d: %q", text, state, line)
			}
		}
	})
}

// BenchmarkSubmission has several clients send messages of 4 KiB, each on its connection.
func BenchmarkSubmission(b *testing.B) {
	text := "From: ann@maple\r\nTo: bob@oak\r\nSubject: 4 KiB\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64) + "."
	for _, senders := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) {
			w := start(b, nil)
			work := make(chan struct{})
			done := make(chan struct{})
			for range senders {
				c := w.dial(b)
				c.conn.SetDeadline(time.Time{})
				c.signIn()
				go func() {
					defer func() { done <- struct{}{} }()
					for range work {
						c.say("MAIL FROM:<ann@maple>", "250")
						c.say("RCPT TO:<bob@oak>", "250")
						c.say("DATA", "354")
						c.say(text, "250")
					}
				}()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			for range senders {
				<-done
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
