package pop3

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A twin is a Backend in memory.
type twin struct {
	messages []string
	deleted  []int
	inUse    bool
}

func (b *twin) Login(_ context.Context, user, password string) (string, error) {
	switch {
	case user == "slow":
		return "", ErrLimited
	case user == "broken":
		return "", errors.New("the disk is broken")
	case user != "ann" || password != "pass word":
		return "", ErrDenied
	}
	return "ann", nil
}

func (b *twin) Mechanisms() []string { return []string{"PLAIN"} }

func (b *twin) Authenticate(_ context.Context, mechanism string, success func(string) error) (Conversation, error) {
	if mechanism != "PLAIN" {
		return nil, errors.New("no")
	}
	return plain(success), nil
}

type plain func(string) error

func (p plain) Next(message []byte) ([]byte, bool, error) {
	if message == nil {
		return []byte{}, false, nil
	}
	if string(message) != "\x00ann\x00pass" {
		return nil, false, ErrDenied
	}
	return nil, true, p("ann")
}

func (b *twin) Open(context.Context, string) (Maildrop, error) {
	if b.inUse {
		return nil, ErrInUse
	}
	return b, nil
}

func (b *twin) Messages() (list []Message) {
	for i, m := range b.messages {
		list = append(list, Message{fmt.Sprint("id", i), int64(len(m))})
	}
	return list
}

func (b *twin) Read(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(b.messages[i])), nil
}

func (b *twin) Delete(_ context.Context, indexes []int) error {
	b.deleted = indexes
	return nil
}

func (b *twin) Close() {}

// talk sends all at once, and returns all that is answered.
func talk(t testing.TB, b *twin, cfg Config, text string) string {
	t.Helper()
	near, far := net.Pipe()
	cfg.Backend = b
	done := make(chan struct{})
	go func() {
		Serve(context.Background(), far, cfg)
		close(done)
	}()
	go func() { io.WriteString(near, text) }()
	near.SetDeadline(time.Now().Add(10 * time.Second))
	all, err := io.ReadAll(near)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%q: %v", text, err)
	}
	near.Close()
	<-done
	return string(all)
}

const signIn = "USER ann\r\nPASS pass word\r\n"

func TestConversation(t *testing.T) {
	b := &twin{messages: []string{"Subject: a\r\n\r\n.one\ntwo\n\nthree", "\r\n", "Subject: c\r\n\r\nx\r\n"}}
	got := talk(t, b, Config{Plain: true}, "CAPA\r\nNOOP\r\nSTAT\r\n"+signIn+"capa\r\nSTAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 9\r\nRETR 1\r\nTOP 1 0\r\nTOP 1 1\r\nTOP 1\r\nTOP 1 -1\r\n"+
		"DELE 2\r\nDELE 2\r\nRETR 2\r\nSTAT\r\nLIST\r\nRSET\r\nDELE 3\r\nLIST x\r\nLIST 99999999999999999999\r\nUSER x\r\nNOOP\r\nQUIT\r\n")
	want := strings.Join([]string{"+OK ready",
		"+OK this is what there is", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "USER", "SASL PLAIN", ".",
		"-ERR there is no such command before signing in", "-ERR there is no such command before signing in",
		"+OK and the password?", "+OK 3 messages",
		"+OK this is what there is", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", ".",
		"+OK 3 48", "+OK ", "1 29", "2 2", "3 17", ".", "+OK 2 2", "+OK ", "1 id0", "2 id1", "3 id2", ".", "-ERR there is no such message",
		"+OK 29", "Subject: a", "", "..one", "two", "", "three", ".",
		"+OK 29", "Subject: a", "", ".", "+OK 29", "Subject: a", "", "..one", ".",
		"-ERR TOP wants a message and a number of lines", "-ERR TOP wants a message and a number of lines",
		"+OK marked", "-ERR there is no such message", "-ERR there is no such message", "+OK 2 46", "+OK ", "1 29", "3 17", ".", "+OK nothing is marked", "+OK marked",
		"-ERR there is no such message", "-ERR there is no such message", "-ERR there is no such command", "+OK ", "+OK bye", ""}, "\r\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(b.deleted) != 1 || b.deleted[0] != 2 {
		t.Errorf("deleted: %v", b.deleted)
	}
}

func TestSignIn(t *testing.T) {
	right := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00pass"))
	for _, test := range []struct{ say, want string }{
		{"PASS x\r\nQUIT\r\n", "-ERR USER comes first"},
		{"USER ann\r\nPASS x\r\nQUIT\r\n", "-ERR [AUTH]"},
		{"USER slow\r\nPASS x\r\nQUIT\r\n", "-ERR [SYS/TEMP] too many"},
		{"USER broken\r\nPASS x\r\nQUIT\r\n", "-ERR [SYS/TEMP] this host has a problem"},
		{"AUTH\r\nQUIT\r\n", "PLAIN\r\n.\r\n"},
		{"AUTH PLAIN " + right + "\r\nQUIT\r\n", "+OK 0 messages"},
		{"AUTH PLAIN\r\n" + right + "\r\nQUIT\r\n", "+ \r\n+OK 0 messages"},
		{"AUTH PLAIN\r\n*\r\nQUIT\r\n", "-ERR as you like"},
		{"AUTH PLAIN =\r\nQUIT\r\n", "-ERR [AUTH]"},
		{"AUTH PLAIN %\r\nQUIT\r\n", "-ERR the message is no base64"},
		{"AUTH PLAIN\r\n" + strings.Repeat("A", 20<<10) + "\r\nQUIT\r\n", "-ERR line is too long"},
		{"AUTH X\r\nQUIT\r\n", "-ERR there is no such mechanism"},
		{"STLS\r\nQUIT\r\n", "-ERR there is no TLS"},
		{strings.Repeat("x", 2000) + "\r\nQUIT\r\n", "-ERR line is too long\r\n+OK bye"},
		{strings.Repeat("USER ann\r\nPASS x\r\n", 5), "-ERR [AUTH]"},
		{strings.Repeat("X\r\n", 51), "-ERR there is no such command"},
	} {
		if got := talk(t, &twin{}, Config{Plain: true}, test.say); !strings.Contains(got, test.want) {
			t.Errorf("%.60q: %q", test.say, got)
		}
	}
	if got := talk(t, &twin{}, Config{}, "CAPA\r\n"+signIn+"QUIT\r\n"); strings.Contains(got, "USER\r\n") || !strings.Contains(got, "STLS comes first") {
		t.Errorf("without TLS: %q", got)
	}
	if got := talk(t, &twin{inUse: true}, Config{Plain: true}, signIn+"QUIT\r\n"); !strings.Contains(got, "-ERR [IN-USE]") {
		t.Errorf("in use: %q", got)
	}
}

// TestLines has a message pass whatever its lines are like.
func TestLines(t *testing.T) {
	for _, test := range []struct{ raw, want string }{
		{"", ".\r\n"},
		{".", "..\r\n.\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\n.\n..\r\n", "a\r\n..\r\n...\r\n.\r\n"},
		{"a\r\rb\r\n", "a\r\rb\r\n.\r\n"},
		{strings.Repeat("x", 4095) + "\r\n.y", strings.Repeat("x", 4095) + "\r\n..y\r\n.\r\n"},
		{strings.Repeat("x", 10000) + ".\n", strings.Repeat("x", 10000) + ".\r\n.\r\n"},
		{strings.Repeat("\r", 9000), strings.Repeat("\r", 9000) + "\r\n.\r\n"},
	} {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		if err := writeLines(w, strings.NewReader(test.raw), -1); err != nil {
			t.Error(err)
		}
		w.Flush()
		if out.String() != test.want {
			t.Errorf("%.20q of %d bytes: %d bytes, want %d", test.raw, len(test.raw), out.Len(), len(test.want))
		}
	}
}

// FuzzConversation says anything in each state.
func FuzzConversation(f *testing.F) {
	for _, seed := range []string{"CAPA", "USER x\r\nPASS y", "AUTH PLAIN\r\nAA==", "RETR 1\r\nTOP 1 99", "DELE 1\r\nRSET", "LIST 0\r\nUIDL 1", "STLS", "\x00\xff"} {
		f.Add(false, seed)
		f.Add(true, seed)
	}
	f.Fuzz(func(t *testing.T, in bool, text string) {
		before := ""
		if in {
			before = signIn
		}
		got := talk(t, &twin{messages: []string{"a\n\nb\n.c"}}, Config{Plain: true}, before+text+"\r\nQUIT\r\nQUIT\r\n")
		if !strings.HasPrefix(got, "+OK") || !strings.HasSuffix(got, "\r\n") {
			t.Errorf("%q is answered with %q", text, got)
		}
	})
}
