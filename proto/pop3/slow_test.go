package pop3

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatience has clients be slow in each state: each is sent away in time.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name, text string
		dribble    string // then a byte of it each time
		each       time.Duration
		deaf       bool // it hears no answer
		want       time.Duration
	}{
		{name: "nothing", want: greetPatience},
		{name: "a byte a minute", dribble: "USER ann", each: time.Minute, want: greetPatience},
		{name: "nothing that matters", dribble: strings.Repeat("CAPA\r\n", 100), each: time.Second, want: greetPatience},
		{name: "half of AUTH", text: "AUTH PLAIN\r\n", dribble: "AAAA\r\n", each: 20 * time.Second, want: greetPatience},
		{name: "USER", text: "USER ann\r\n", want: greetPatience},
		{name: "signed in", text: signIn, want: commandPatience},
		{name: "signed in, a byte a minute", text: signIn, dribble: strings.Repeat("x", 30), each: time.Minute, want: commandPatience},
		{name: "deaf", deaf: true, want: writePatience},
		{name: "deaf to a message", text: signIn, deaf: true, want: writePatience},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				begun, ended := time.Now(), make(chan time.Duration, 1)
				go func() {
					Serve(context.Background(), far, Config{Backend: &twin{messages: []string{strings.Repeat("x\n", 1<<20)}}, Plain: true})
					ended <- time.Since(begun)
				}()
				if !c.deaf || c.text != "" {
					go io.Copy(io.Discard, near)
				}
				io.WriteString(near, c.text)
				synctest.Wait()
				if c.deaf {
					near.SetReadDeadline(time.Now()) // nobody reads any more
					go io.WriteString(near, "RETR 1\r\n")
				}
				for i := range len(c.dribble) {
					time.Sleep(c.each)
					near.SetWriteDeadline(time.Now().Add(time.Second))
					if _, err := near.Write([]byte{c.dribble[i]}); err != nil {
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

// TestHostile has clients send what no program sends; each answer is given by how it begins.
func TestHostile(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a line of 10 MB", strings.Repeat("x", 10<<20) + "\r\nQUIT\r\n", "-ERR line is too long\r\n+OK bye"},
		{"signed in, a line of 10 MB", signIn + strings.Repeat("x", 10<<20) + "\r\nQUIT\r\n", "-ERR line is too long\r\n+OK bye"},
		{"a NUL", "US\x00ER ann\r\nQUIT\r\n", "-ERR there is no such command before signing in\r\n+OK bye"},
		{"bare LF", "USER ann\nPASS pass word\nQUIT\n", "+OK 1 messages\r\n+OK bye"},
		{"bare CR", "NOOP\rNOOP\r\nQUIT\r\n", "-ERR there is no such command before signing in\r\n+OK bye"},
		{"8 bits", signIn + "\xff\xfe\r\nQUIT\r\n", "-ERR there is no such command\r\n+OK bye"},
		{"100 unknown ones", strings.Repeat("XYZZY\r\n", 100), strings.Repeat("-ERR there is no such command before signing in\r\n", maxErrors+1)},
		{"100 wrong passwords", strings.Repeat("USER eve\r\nPASS x\r\n", 100), strings.Repeat("+OK and the password?\r\n-ERR [AUTH] name or password is wrong\r\n", maxFailures)},
		{"10,000 NOOPs", signIn + strings.Repeat("NOOP\r\n", 10_000) + "QUIT\r\n", strings.Repeat("+OK \r\n", 10_000) + "+OK bye"},
		{"message 2^64", signIn + "RETR 18446744073709551616\r\nRETR -1\r\nRETR 0\r\nQUIT\r\n", strings.Repeat("-ERR there is no such message\r\n", 3) + "+OK bye"},
		{"TOP of 2^63 lines", signIn + "TOP 1 9223372036854775808\r\nQUIT\r\n", "-ERR TOP wants a message and a number of lines\r\n+OK bye"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nQUIT\r\n", "-ERR there is no such command before signing in\r\n+OK bye"},
	} {
		if got := talk(t, &twin{messages: []string{"x"}}, Config{Plain: true}, c.text); !strings.HasSuffix(strings.TrimSpace(got), strings.TrimSpace(c.want)) {
			t.Errorf("%s: %.300q, want %.300q at the end", c.name, got, c.want)
		}
	}
}
