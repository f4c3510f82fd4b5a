package imap

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
)

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

// inMemory runs a server whose clients are in memory.
func inMemory(t *testing.T, limits Limits) (server *Server, dial func() net.Conn) {
	t.Helper()
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	boxes := mailbox.New(mailbox.Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})
	server = New(Config{
		Mailboxes: boxes, Accounts: host.Accounts(), TLS: host.TLS, Trusted: func(net.Conn) bool { return true },
		Log: host.Log(), Metrics: host.Metrics(), Limits: limits,
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
	return server, func() net.Conn {
		near, far := net.Pipe()
		p.conns <- far
		return near
	}
}

// TestPatience has clients be slow in each state: each is sent away in time, and nobody waits for it.
func TestPatience(t *testing.T) {
	const command, literal, idle = 30 * time.Second, 5 * time.Minute, 35 * time.Minute // the library's
	in := "a " + login + "\r\n"
	for _, c := range []struct {
		name, text string
		dribble    string // then a byte of it each time
		each       time.Duration
		deaf       bool // it hears no answer
		want       time.Duration
	}{
		{name: "nothing", want: command},
		{name: "a byte a minute", dribble: "a LOGIN", each: time.Minute, want: command},
		{name: "half of a line", text: "a LOG", want: command},
		{name: "nothing that matters", dribble: strings.Repeat("a NOOP\r\n", 100), each: time.Second, want: signInPatience},
		{name: "STARTTLS", text: "a STARTTLS\r\n", want: command},
		{name: "half of a handshake", text: "a STARTTLS\r\n", dribble: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", each: 9 * time.Second, want: command},
		{name: "half of AUTHENTICATE", text: "a AUTHENTICATE PLAIN\r\n", dribble: "AAAAAAAA", each: 9 * time.Second, want: command},
		{name: "a literal of LOGIN", text: "a LOGIN {100}\r\n", dribble: "aaaaaaaaa", each: 9 * time.Second, want: command},
		{name: "signed in", text: in, want: idle},
		{name: "signed in, a byte a minute", text: in, dribble: "b NOOP\r\n", each: time.Minute, want: time.Minute + command},
		{name: "half of a message", text: in + "b APPEND INBOX {1000}\r\nSubject: x", want: literal},
		{name: "half of a message, a byte a minute", text: in + "b APPEND INBOX {1000}\r\n", dribble: "Subject: x", each: time.Minute, want: literal},
		{name: "IDLE", text: in + "b SELECT INBOX\r\nc IDLE\r\n", want: idle},
		{name: "deaf", text: in, deaf: true, want: writePatience},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, dial := inMemory(t, Limits{})
				conn := dial()
				defer conn.Close()
				begun, ended := time.Now(), make(chan time.Duration, 1)
				go func() {
					io.Copy(io.Discard, conn)
					ended <- time.Since(begun)
				}()
				io.WriteString(conn, c.text)
				synctest.Wait()
				other := dial() // is served at the same time
				in := bufio.NewReader(other)
				in.ReadString('\n')
				io.WriteString(other, "a LOGOUT\r\n")
				if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "* BYE") {
					t.Errorf("another one hears %q, %v", line, err)
				}
				other.Close()
				if c.deaf {
					conn.SetReadDeadline(time.Now()) // nobody reads any more
					<-ended
					begun = time.Now()
					for err := error(nil); err == nil; {
						_, err = io.WriteString(conn, "b NOOP\r\n")
					}
					ended <- time.Since(begun)
				}
				for i := range len(c.dribble) {
					time.Sleep(c.each)
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

// TestThousandsWait has 5,000 clients wait for news, and one work.
func TestThousandsWait(t *testing.T) {
	clients := 5000
	if raceDetector {
		clients = 500
	}
	_, dial := inMemory(t, Limits{PerAccount: clients + 1})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	buf := make([]byte, 4096)
	hear := func(conn net.Conn, want string) {
		t.Helper()
		for got := ""; !strings.Contains(got, want); {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			got += string(buf[:n])
		}
	}
	var waiting []net.Conn
	for range clients {
		conn := dial()
		defer conn.Close()
		hear(conn, "ready\r\n")
		io.WriteString(conn, "a "+login+"\r\n")
		hear(conn, "a OK")
		io.WriteString(conn, "b SELECT INBOX\r\n")
		hear(conn, "b OK")
		io.WriteString(conn, "c IDLE\r\n")
		hear(conn, "+ idling\r\n")
		waiting = append(waiting, conn)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / uint64(clients)
	t.Logf("%d bytes for a client that waits", each)
	if each > 64<<10 && !raceDetector {
		t.Errorf("a client that waits takes %d bytes", each)
	}
	conn := dial()
	defer conn.Close()
	hear(conn, "ready\r\n")
	io.WriteString(conn, "a "+login+"\r\n")
	hear(conn, "a OK")
	io.WriteString(conn, "b APPEND INBOX {14}\r\n")
	hear(conn, "+")
	io.WriteString(conn, "Subject: x\r\n\r\n\r\n")
	hear(conn, "b OK")
	for _, conn := range waiting {
		hear(conn, "* 1 EXISTS")
	}
}
