package pop

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
)

type world struct {
	t        *testing.T
	boxes    *mailbox.Store
	accounts *apptest.Accounts
	listener net.Listener
	trust    *tls.Config
}

// start runs a server whose listener takes passwords without TLS where trusted is set.
func start(t *testing.T, trusted bool) *world {
	t.Helper()
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	boxes := mailbox.New(mailbox.Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})
	server := New(Config{
		Mailboxes: boxes, Accounts: host.Accounts(), TLS: host.TLS, Trusted: func(net.Conn) bool { return trusted }, Log: host.Log(), Metrics: host.Metrics(),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, false) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(host.CA())
	return &world{t, boxes, host.Accounts().(*apptest.Accounts), listener, &tls.Config{RootCAs: pool, ServerName: "localhost"}}
}

func (w *world) put(raw string) {
	w.t.Helper()
	if err := w.boxes.Prepare(w.t.Context(), apptest.Ann); err != nil {
		w.t.Fatal(err)
	}
	blob, err := w.boxes.Write(w.t.Context(), strings.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.boxes.Append(w.t.Context(), apptest.Ann, mailbox.Inbox, mailbox.Delivery{Blob: blob}); err != nil {
		w.t.Fatal(err)
	}
}

type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (w *world) dial() *client {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &client{w.t, conn, bufio.NewReader(conn)}
	c.want("", "+OK")
	return c
}

// want sends a line and checks the first one of the answer.
func (c *client) want(line, want string) string {
	c.t.Helper()
	if line != "" {
		if _, err := c.conn.Write([]byte(line + "\r\n")); err != nil {
			c.t.Fatal(err)
		}
	}
	got, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, want) {
		c.t.Fatalf("%s: %q, %v, want %q", line, got, err, want)
	}
	return got
}

func (c *client) signIn(want string) {
	c.t.Helper()
	c.want("USER ann", "+OK")
	c.want("PASS "+apptest.AppPassword, want)
}

// TestMaildrop has one client at a time, and nothing deleted without QUIT.
func TestMaildrop(t *testing.T) {
	w := start(t, true)
	w.put("Subject: one\r\n\r\n1\r\n")
	w.put("Subject: two\r\n\r\n2\r\n")
	first := w.dial()
	first.signIn("+OK 2 messages")
	id := first.want("UIDL 2", "+OK 2 ")
	second := w.dial()
	second.signIn("-ERR [IN-USE]")
	first.want("DELE 1", "+OK")
	first.conn.Close()
	for { // until the server has noticed
		second = w.dial()
		second.want("USER ann", "+OK")
		second.conn.Write([]byte("PASS " + apptest.AppPassword + "\r\n"))
		if answer, err := second.in.ReadString('\n'); err != nil || strings.HasPrefix(answer, "+OK 2 messages") {
			break
		}
		second.conn.Close()
	}
	second.want("DELE 1", "+OK")
	second.want("QUIT", "+OK")
	third := w.dial()
	third.signIn("+OK 1 messages")
	if got := third.want("UIDL 1", "+OK 1 "); strings.Fields(got)[2] != strings.Fields(id)[2] {
		t.Errorf("the ID of a message changes from %q to %q", id, got)
	}
}

func TestTLSFirst(t *testing.T) {
	w := start(t, false)
	w.put("Subject: one\r\n\r\n1\r\n")
	c := w.dial()
	c.want("USER ann", "-ERR")
	c.want("STLS", "+OK")
	secured := tls.Client(c.conn, w.trust)
	c.conn, c.in = secured, bufio.NewReader(secured)
	c.want("STLS", "-ERR")
	c.want("USER ann", "+OK")
	c.want("PASS wrong", "-ERR [AUTH]")
	c.signIn("+OK 1 messages")
	c.want("RETR 1", "+OK 19")
}

// TestRevoked has an app password removed while a client has the maildrop: nothing of what it has marked goes.
func TestRevoked(t *testing.T) {
	w := start(t, true)
	w.put("Subject: one\r\n\r\n1\r\n")
	c := w.dial()
	c.signIn("+OK 1 messages")
	c.want("DELE 1", "+OK")
	w.accounts.Revoke(apptest.Ann)
	if line, err := c.in.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard %q, %v", line, err)
	}
	if f, err := w.boxes.Folder(t.Context(), apptest.Ann, mailbox.Inbox); err != nil || f.Messages != 1 {
		t.Errorf("%d messages, %v", f.Messages, err)
	}
}
