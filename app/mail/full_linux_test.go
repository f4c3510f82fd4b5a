package mail

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
	"kith.alt/kith/kithtest/require"
)

// A talker types to a server, and hears what it says.
type talker struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (w *world) talk(t *testing.T, protocol string) *talker {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+w.port[protocol])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &talker{t, conn, bufio.NewReader(conn)}
	c.line()
	return c
}

func (c *talker) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%q, %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}

// say sends a text, and checks how the answer begins: that of a command with a tag is the line with the tag.
func (c *talker) say(text, want string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	line := c.line()
	tag, _, _ := strings.Cut(want, " ")
	for strings.HasPrefix(line, "250-") || len(tag) == 1 && !strings.HasPrefix(line, tag+" ") {
		line = c.line()
	}
	if !strings.HasPrefix(line, want) {
		c.t.Fatalf("%.60q is answered with %q, want %q", text, line, want)
	}
}

// fill leaves no byte of room on the disk that has dir, and returns what makes room again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull has programs send and store mail while the disk is full: none is told that it is safe, all sessions
// go on, and once there is room everything works again and all is there that was acknowledged.
func TestDiskFull(t *testing.T) {
	dir := require.SmallDisk(t, 24)
	if dir == "" {
		return
	}
	t.Setenv("TMPDIR", dir)
	w := start(t)
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + apptest.Ann + "\x00" + apptest.AppPassword))
	login := "LOGIN " + apptest.Ann + " " + apptest.AppPassword

	sender, keeper, reader, popper := w.talk(t, "submission"), w.talk(t, "imap"), w.talk(t, "imap"), w.talk(t, "pop3")
	sender.say("EHLO laptop", "250")
	sender.say("AUTH PLAIN "+plain, "235")
	keeper.say("a "+login, "a OK")
	reader.say("a "+login, "a OK")
	send := func(size int, want string) {
		t.Helper()
		sender.say("MAIL FROM:<ann@maple>", "250")
		sender.say("RCPT TO:<ann@maple>", "250")
		sender.say("RCPT TO:<bob@oak>", "250")
		sender.say("DATA", "354")
		sender.say("From: ann@maple\r\nSubject: by SMTP\r\n\r\n"+strings.Repeat("0123456789abcde\r\n", size/17)+".", want)
	}
	keep := func(size int, want string) {
		t.Helper()
		keeper.say(fmt.Sprintf("b APPEND INBOX {%d}", size), "+ ")
		keeper.say(strings.Repeat("0123456789abcd\r\n", size/16), want)
	}
	send(1000, "250")
	send(100_000, "250")
	keep(160_000, "b OK")
	popper.say("USER ann", "+OK")
	popper.say("PASS "+apptest.AppPassword, "+OK 3 messages")
	popper.say("DELE 3", "+OK")

	empty := fill(t, dir)
	for range 3 {
		send(100_000, "452 4.3.1 The disk of this computer is full")
		send(1000, "452 4.3.1 The disk of this computer is full")
		keep(60<<20, "b NO [OVERQUOTA] The disk of this computer is full")
		keep(1600, "b NO [OVERQUOTA] The disk of this computer is full")
		keeper.say("c APPEND INBOX {104857600}", "c NO [TOOBIG]")
		keeper.say("d CREATE full", "d NO [OVERQUOTA] The disk of this computer is full")
		reader.say("e SELECT INBOX", "e OK")
		reader.say("f FETCH 1:3 BODY.PEEK[]", "f OK")
		reader.say("g STORE 1 +FLAGS (\\Seen)", "g NO [OVERQUOTA] The disk of this computer is full")
	}
	popper.say("RETR 2", "+OK")
	for popper.line() != "." {
	}
	popper.say("QUIT", "-ERR [SYS/TEMP]")

	empty()
	send(100_000, "250")
	keep(1600, "b OK")
	reader.say("h SELECT INBOX", "h OK")
	reader.say("i STORE 1 +FLAGS (\\Seen)", "i OK")
	boxes := mailbox.New(mailbox.Config{Store: w.host.Store(), Blobs: w.host.Blobs(), Log: w.host.Log()})
	if inbox, err := boxes.Folder(t.Context(), apptest.Ann, mailbox.Inbox); err != nil || inbox.Messages != 5 {
		t.Errorf("INBOX has %d messages, %v", inbox.Messages, err)
	}
}
