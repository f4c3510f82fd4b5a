package submission

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/delivery"
)

// TestHostile has clients send what no program sends. Each line of an answer is given by its code; "-" is the end of
// the connection.
func TestHostile(t *testing.T) {
	w := start(t, nil)
	other := w.dial(t)
	other.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	other.signIn()
	const (
		begun = "MAIL FROM:<ann@maple>\r\nRCPT TO:<ann@maple>\r\n"
		head  = "From: ann@maple\r\n\r\n"
	)
	repeat := strings.Repeat
	for _, c := range []struct{ name, text, want string }{
		{"a NUL in a command", "NO\x00OP\r\n", "501 221"},
		{"8 bits in a command", "\xff\xfe\xfd\r\n", "501 221"},
		{"bare LF after a command", "NOOP\nNOOP\n", "250 250 221"},
		{"bare CR after a command", "NOOP\rNOOP\r\n", "501 221"},
		{"unknown", "XYZZY\r\n", "501 221"},
		{"too many unknown ones", repeat("XYZZY\r\n", 100), "501 501 501 501 500 -"},
		{"10,000 NOOPs", repeat("NOOP\r\n", 10_000), repeat("250 ", 10_000) + "221"},
		{"a line of 10 MB", "NOOP " + repeat("x", 10<<20) + "\r\n", "500 -"},
		{"a line without an end", repeat("x", 1<<20), "500 -"},
		{"10,000 recipients", "MAIL FROM:<ann@maple>\r\n" + repeat("RCPT TO:<ann@maple>\r\n", 10_000), "250 " + repeat("250 ", delivery.MaxRecipients) + repeat("452 ", 10_000-delivery.MaxRecipients) + "221"},
		{"MAIL twice", begun + "MAIL FROM:<ann@maple>\r\nDATA\r\n" + head + ".\r\n", "250 250 250 354 550 221"},
		{"an address of 10 KB", "MAIL FROM:<" + repeat("a", 10_000) + "@maple>\r\n", "550 221"},
		{"a parameter of 10 KB", "MAIL FROM:<ann@maple> ENVID=" + repeat("a", 10_000) + "\r\nRCPT TO:<ann@maple>\r\nDATA\r\n.\r\n", "250 250 354 501 221"},
		{"parameters of nothing", "MAIL FROM:<ann@maple> A=B C=D\r\n", "500 221"},
		{"SIZE of 2^63", "MAIL FROM:<ann@maple> SIZE=9223372036854775808\r\n", "501 221"},
		{"SIZE of less than nothing", "MAIL FROM:<ann@maple> SIZE=-1\r\n", "501 221"},
		{"a source route", "MAIL FROM:<ann@maple>\r\nRCPT TO:<@oak,@elm:ann@maple>\r\n", "250 250 221"},
		{"a message in a message", begun + "DATA\r\n" + head + "x\r\n.\nMAIL FROM:<ann@maple>\r\n.\r\n", "250 250 354 550 221"},
		{"a NUL in a message", begun + "DATA\r\n" + head + "a\x00b\r\n.\r\n", "250 250 354 250 221"},
		{"8 bits in a message", begun + "DATA\r\nFrom: ann@maple\r\nSubject: \xff\xfe\x80\r\n\r\n\xff\r\n.\r\n", "250 250 354 250 221"},
		{"no header", begun + "DATA\r\n.\r\n", "250 250 354 250 221"},
		{"dots", begun + "DATA\r\n" + head + repeat("..\r\n", 1000) + ".\r\n", "250 250 354 250 221"},
		{"a line of 10 MB in a message", begun + "DATA\r\n" + head + repeat("x", 10<<20) + "\r\n.\r\n", "250 250 354 500 500 -"},
		{"a header of 1 MB", begun + "DATA\r\nFrom: ann@maple\r\n" + repeat("X: y\r\n", 200_000) + "\r\n.\r\n", "250 250 354 552 221"},
		{"one field of 1 MB", begun + "DATA\r\nFrom: ann@maple\r\nX: " + repeat("y\r\n ", 300_000) + "\r\n\r\n.\r\n", "250 250 354 552 221"},
		{"10,000 fields", begun + "DATA\r\nFrom: ann@maple\r\n" + repeat("X: y\r\n", 10_000) + "\r\n.\r\n", "250 250 354 550 221"},
		{"10,000 parts, each in the one before", begun + "DATA\r\nFrom: ann@maple\r\n" + deep(10_000) + ".\r\n", "250 250 354 250 221"},
		{"a message that is too large", begun + "DATA\r\n" + head + repeat(repeat("x", 998)+"\r\n", 33<<10) + ".\r\n", "250 250 354 552 221"},
		{"a chunk of 2^32", begun + "BDAT 4294967296\r\n", "250 250 501 221"},
		{"a chunk of 2^63", begun + "BDAT 9223372036854775808\r\n", "250 250 501 221"},
		{"a chunk of less than nothing", begun + "BDAT -1\r\n", "250 250 501 221"},
		{"chunks of a byte", begun + "BDAT 1\r\nF" + "BDAT 1\r\nr" + "BDAT 17 LAST\r\nom: ann@maple\r\n\r\n", "250 250 250 250 250 221"},
		{"a CRLF in two chunks", begun + "BDAT 18\r\nFrom: ann@maple\r\n\r" + "BDAT 4 LAST\r\n\nx\r\n", "250 250 250 250 221"},
		{"a CR and another chunk", begun + "BDAT 18\r\nFrom: ann@maple\r\n\r" + "BDAT 3 LAST\r\nx\r\n", "250 250 250 550 221"},
		{"DATA in a chunk", begun + "BDAT 3\r\nX: DATA\r\n", "250 250 250 502 221"},
		{"MAIL in a chunk", begun + "BDAT 3\r\nX: MAIL FROM:<ann@maple>\r\n", "250 250 250 502 221"},
		{"BDAT of commands without recipients", "BDAT 6\r\nNOOP\r\nNOOP\r\n", "502 250 221"},
		{"STARTTLS in a message", begun + "DATA\r\n" + head + "STARTTLS\r\n.\r\n", "250 250 354 250 221"},
		{"HTTP", "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", "500 501 500 221"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := w.dial(t)
			conn.signIn()
			go io.WriteString(conn.conn, c.text+"QUIT\r\n")
			var got []string
			for len(got) == 0 || got[len(got)-1] != "221" && got[len(got)-1] != "-" {
				line, err := conn.ReadLine()
				switch {
				case err != nil:
					got = append(got, "-")
				case len(line) > 3 && line[3] == ' ':
					got = append(got, line[:3])
				}
			}
			if answer := strings.Join(got, " "); answer != strings.TrimSpace(c.want) {
				t.Errorf("answered with %.300s, want %.300s", answer, c.want)
			}
			conn.conn.Close()
			other.say("NOOP", "250")
		})
	}
	other.say("MAIL FROM:<ann@maple>", "250")
	other.say("RCPT TO:<ann@maple>", "250")
	other.say("DATA", "354")
	other.say("From: ann@maple\r\n\r\nx\r\n.", "250")
}

// TestCutOff has a connection end within a message: nothing of it is taken.
func TestCutOff(t *testing.T) {
	w := start(t, nil)
	for _, text := range []string{
		"BDAT 1000 LAST\r\nFrom: ann@maple\r\n\r\nx\r\n",
		"BDAT 20\r\nFrom: ann@maple\r\n\r\nxBDAT 100 LAST\r\ny\r\n",
		"BDAT 20\r\nFrom: ann@maple\r\n\r\nx",
		"DATA\r\nFrom: ann@maple\r\n\r\nx\r\n",
		"DATA\r\nFrom: ann@maple\r\n\r\nx\r\n.",
	} {
		c := w.dial(t)
		c.signIn()
		c.say("MAIL FROM:<ann@maple>", "250")
		c.say("RCPT TO:<ann@maple>", "250")
		io.WriteString(c.conn, text)
		if err := kith.CloseWrite(c.conn); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(c.R)
		if list := w.inbox(t); len(list) > 0 || strings.Contains(string(rest), "queued") {
			t.Errorf("%q: answered with %q; %d messages", text, rest, len(list))
		}
	}
}

// TestWithin has a client say what it likes within a message, by DATA and in chunks. What is taken has whole lines, and
// what follows the message is heard as commands.
func TestWithin(t *testing.T) {
	w := start(t, nil)
	for _, text := range []string{"From: ann@maple\r\n\r\nx", "x\r\n..\r\n.x", "\r\n.\nNOOP", "a\rb", "a\x00\xff", deep(50), "Bcc: x\r\n y\r\nFrom: ann@maple,\r\n bob", "From: an\r\nmaplen[]", "From: ann@ma v1\n"} {
		for _, cut := range []int{0, 1, 3, len(text) - 1} {
			within(t, w, []byte(text), cut)
		}
	}
}

func within(t *testing.T, w *world, text []byte, cut int) {
	t.Helper()
	before := len(w.inbox(t))
	c := w.dial(t)
	c.signIn()
	c.say("MAIL FROM:<ann@maple>", "250")
	c.say("RCPT TO:<ann@maple>", "250")
	if cut > 0 && cut < len(text) {
		fmt.Fprintf(c.conn, "BDAT %d\r\n%sBDAT %d LAST\r\n%s", cut, text[:cut], len(text)-cut, text[cut:])
	} else {
		c.say("DATA", "354")
		fmt.Fprintf(c.conn, "%s\r\n.\r\n", text)
	}
	io.WriteString(c.conn, "QUIT\r\n")
	taken := false
	for {
		line, err := c.ReadLine()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if strings.HasPrefix(line, "221") {
			break
		}
		taken = strings.HasPrefix(line, "250 2.0.0 OK: queued")
	}
	list := w.inbox(t)
	if !taken {
		if len(list) != before {
			t.Errorf("%q is refused, and there", text)
		}
		return
	}
	if len(list) != before+1 {
		t.Fatalf("%q is there %d times", text, len(list)-before)
	}
	r, err := w.boxes.Open(t.Context(), list[before].Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if whole := bytes.ReplaceAll(raw, []byte("\r\n"), nil); err != nil || bytes.ContainsAny(whole, "\r\n") {
		t.Errorf("%q is kept as %q, %v", text, raw, err)
	}
}

// deep is a header of parts that are in one another.
func deep(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n", i, i)
	}
	return b.String()
}
