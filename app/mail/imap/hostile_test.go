package imap

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestHostile has clients send what no program sends: each is answered, or sent away, what is in a literal is no
// command, and another client works on.
func TestHostile(t *testing.T) {
	w := start(t, Limits{}, true)
	other := w.client(t)
	other.want("SELECT INBOX", "OK")
	other.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	const smuggled = "x CREATE smuggled\r\n"
	for _, c := range []struct{ name, state, text, want string }{
		{"a literal+ that is too large", "selected", "a APPEND INBOX {104857600+}\r\n", "NO [TOOBIG]"},
		{"a literal+ that is larger than promised", "selected", "a APPEND INBOX {5000+}\r\n", "BAD"},
		{"a literal+ of 2^63", "selected", "a APPEND INBOX {9223372036854775807+}\r\n", "NO [TOOBIG]"},
		{"a literal+ of more than 2^63", "selected", "a APPEND INBOX {18446744073709551615+}\r\n", "BAD"},
		{"a negative literal+", "selected", "a APPEND INBOX {-1+}\r\n", "BAD"},
		{"a literal+ in place of a name", "selected", "a CREATE {5000+}\r\n" + strings.Repeat("x", 5000) + "\r\n", "NO"},
		{"a literal+ in place of a user", "", "a LOGIN {5000+}\r\n" + strings.Repeat("x", 5000) + " x\r\n", "NO"},
		{"a literal+ before signing in", "", "a APPEND INBOX {19+}\r\n" + smuggled + "\r\n", "BAD"},
		{"a literal8", "selected", "a APPEND INBOX ~{3+}\r\na\x00b\r\n", "OK [APPENDUID"},
		{"a literal of nothing", "selected", "a APPEND INBOX {0+}\r\n\r\n", "NO [CANNOT]"},
		{"two messages", "selected", "a APPEND INBOX {1+}\r\na {1+}\r\nb\r\n", ""},
		{"a literal in IDLE", "selected", "a IDLE\r\n{5000+}\r\n", "BAD"},
		{"a word in IDLE", "selected", "a IDLE\r\nb NOOP\r\n", "BAD"},
		{"a line of 10 MB", "selected", "a NOOP " + strings.Repeat("x", 10<<20) + "\r\n", ""},
		{"a quoted string of 10 MB", "selected", "a CREATE \"" + strings.Repeat("x", 10<<20) + "\"\r\n", ""},
		{"a line of 10 MB before signing in", "", "a LOGIN " + strings.Repeat("x", 10<<20) + "\r\n", ""},
		{"a tag of 10 MB", "", strings.Repeat("x", 10<<20), ""},
		{"HTTP", "", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, "BYE"},
		{"bytes", "", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n" + smuggled, ""},
		{"no tag", "", "\r\n\r\n", ""},
		{"unknown", "selected", "a XYZZY\r\n", "BAD"},
		{"an endless range", "selected", "a FETCH " + strings.Repeat("1:*,", 10_000) + "1 UID\r\n", "OK"},
		{"deep lists", "selected", "a SEARCH " + strings.Repeat("(", 20_000) + "\r\n", "NO [SERVERBUG]"},
		{"many ORs", "selected", "a SEARCH " + strings.Repeat("OR ALL ", 6000) + "ALL\r\n", "NO [OVERQUOTA]"},
		{"many fields", "selected", "a FETCH 1 BODY[HEADER.FIELDS (" + strings.Repeat("x ", 20_000) + "x)]\r\n", ""},
		{"8 bits", "selected", "a CREATE \xff\xfe\r\n", "NO [SERVERBUG]"},
		{"NUL", "selected", "a CREATE \"a\x00b\"\r\n", ""},
		{"bare LF", "selected", "a NOOP\nb NOOP\n", "a OK"},
		{"bare CR", "selected", "a NOOP\rb NOOP\r\n", "BAD"},
		{"a wrong state", "", "a SELECT INBOX\r\n", "BAD"},
		{"STARTTLS when signed in", "selected", "a STARTTLS\r\n", "BAD"},
		{"signing in twice", "selected", "a " + login + "\r\n", "BAD"},
		{"10,000 NOOPs", "selected", strings.Repeat("a NOOP\r\n", 10_000), "a OK"},
		{"10,000 unknown ones", "selected", strings.Repeat("a XYZZY\r\n", 10_000), "BAD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := w.dial(t, w.plain)
			if c.state != "" {
				conn.want(login, "OK")
				conn.want("SELECT INBOX", "OK")
			}
			go io.WriteString(conn.conn, c.text+"z LOGOUT\r\n")
			heard, err := io.ReadAll(io.LimitReader(conn.conn, 1<<20))
			if answer := string(heard); !strings.Contains(answer, c.want) {
				t.Errorf("%.300q, %v, want %q", answer, err, c.want)
			}
			conn.conn.Close()
			other.want("STATUS smuggled (MESSAGES)", "NO [NONEXISTENT]")
		})
	}
	other.want("NOOP", "OK")
	raw := strings.Repeat("x\r\n", 1<<20)
	other.want(fmt.Sprintf("APPEND INBOX {%d}", len(raw)), "OK [APPENDUID", raw)
}

// FuzzWithin sends anything within a command: in IDLE, in the literal of a message, and in place of what
// a mechanism says.
func FuzzWithin(f *testing.F) {
	for state := range 3 {
		for _, text := range []string{"DONE", "DONE\r\na NOOP", "\x00ann\x00x", "AGFubgB4", "*", "=", "Subject: x\r\n\r\n\xff", "{3}", "{3+}\r\nabc"} {
			f.Add(state, text)
		}
	}
	w := start(f, Limits{}, true)
	f.Fuzz(func(t *testing.T, state int, text string) {
		c := w.dial(t, w.plain)
		switch state % 3 {
		case 0:
			c.want(login, "")
			c.do("SELECT INBOX")
			c.send("a IDLE\r\n")
		case 1:
			c.want(login, "")
			c.send(fmt.Sprintf("a APPEND Drafts {%d}\r\n", len(text)))
		default:
			c.send("a AUTHENTICATE PLAIN\r\n")
		}
		c.line()
		c.conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c.conn, text+"\r\nz LOGOUT\r\n")
		c.conn.(*net.TCPConn).CloseWrite()
		heard, err := io.ReadAll(c.conn)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Fatalf("no end of %q", text)
		}
		if state%3 == 1 && !strings.Contains(string(heard), "z OK") {
			t.Errorf("after a message of %q: %q", text, heard)
		}
	})
}
