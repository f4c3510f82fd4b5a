package submission

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
)

// inMemory runs a server whose clients are in memory, for virtual time.
func inMemory(t *testing.T) (dial func() net.Conn) {
	t.Helper()
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	boxes := mailbox.New(mailbox.Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})
	server := New(Config{
		Delivery: delivery.New(delivery.Config{Host: host, Mailboxes: boxes, Book: address.New(host)}),
		Accounts: host.Accounts(), Name: host.Name, TLS: host.TLS, Trusted: func(net.Conn) bool { return true },
		Log: slog.New(slog.DiscardHandler), Metrics: host.Metrics(),
	})
	p := pipes{make(chan net.Conn)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, p, false) }()
	t.Cleanup(func() {
		cancel()
		close(p.conns)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if server.total != 0 {
			t.Errorf("%d connections are left", server.total)
		}
	})
	return func() net.Conn {
		near, far := net.Pipe()
		p.conns <- far
		return near
	}
}

// TestPatience has clients be slow in each state: each is sent away in time, and nobody waits for it.
func TestPatience(t *testing.T) {
	signedIn := "EHLO x\r\n" + authPlain + "\r\n"
	begun := signedIn + "MAIL FROM:<ann@maple>\r\nRCPT TO:<ann@maple>\r\n"
	for _, c := range []struct {
		name, text string
		dribble    string // then a byte a minute of it
		deaf       bool   // it hears no answer
		want       time.Duration
	}{
		{name: "nothing", want: time.Minute},
		{name: "a byte a minute", dribble: "EHLO laptop", want: time.Minute},
		{name: "EHLO", text: "EHLO x\r\n", want: time.Minute},
		{name: "STARTTLS", text: "EHLO x\r\nSTARTTLS\r\n", want: time.Minute},
		{name: "half of a handshake", text: "EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\x02\x00", dribble: "\x01\x00\x01\xfc", want: time.Minute},
		{name: "half of AUTH", text: "EHLO x\r\nAUTH PLAIN\r\n", dribble: "AAAA", want: time.Minute},
		{name: "signed in", text: signedIn, want: idle},
		{name: "signed in, a byte a minute", text: signedIn, dribble: "MAIL FROM:<ann@maple>", want: idle},
		{name: "MAIL", text: begun, want: idle},
		{name: "DATA", text: begun + "DATA\r\n", want: dataTime},
		{name: "DATA, a byte a minute", text: begun + "DATA\r\nFrom: ann@maple\r\n", dribble: strings.Repeat("X: y\r\n", 10), want: dataTime},
		{name: "half of a chunk", text: begun + "BDAT 100 LAST\r\nFrom: ann@maple\r\n", want: dataTime},
		{name: "between chunks", text: begun + "BDAT 2\r\nX:", want: idle},
		{name: "deaf", deaf: true, want: writing},
		{name: "deaf when signed in", text: signedIn, deaf: true, want: writing},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := inMemory(t)
				conn := dial()
				defer conn.Close()
				begun, ended := time.Now(), make(chan time.Duration, 1)
				if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil && !c.deaf {
					t.Fatal(err)
				}
				hear := func() {
					io.Copy(io.Discard, conn)
					ended <- time.Since(begun)
				}
				if !c.deaf || c.text != "" {
					go hear()
				}
				io.WriteString(conn, c.text)
				synctest.Wait()
				other := dial() // is served at the same time
				in := bufio.NewReader(other)
				in.ReadString('\n')
				io.WriteString(other, "NOOP\r\n")
				if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "250") {
					t.Errorf("another one hears %q, %v", line, err)
				}
				other.Close()
				if c.deaf {
					synctest.Wait()
					conn.SetReadDeadline(time.Now()) // nobody reads any more
					synctest.Wait()
					if c.text != "" {
						<-ended
					}
					begun = time.Now()
					for err := error(nil); err == nil; {
						_, err = io.WriteString(conn, "NOOP\r\n")
					}
					ended <- time.Since(begun)
				}
				for i := range len(c.dribble) {
					time.Sleep(time.Minute)
					conn.SetWriteDeadline(time.Now().Add(time.Second))
					if _, err := conn.Write([]byte{c.dribble[i]}); err != nil {
						break
					}
				}
				if got := <-ended; got != c.want {
					t.Errorf("it is sent away after %v, want %v", got, c.want)
				}
			})
		})
	}
}
