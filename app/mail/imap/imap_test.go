package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
)

// A world is a server on loopback.
type world struct {
	host          *apptest.Host
	boxes         *mailbox.Store
	plain, secure net.Listener
}

func start(t testing.TB, limits Limits, trusted bool) *world {
	t.Helper()
	w := &world{host: apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})}
	w.boxes = mailbox.New(mailbox.Config{Store: w.host.Store(), Blobs: w.host.Blobs(), Log: w.host.Log()})
	server := New(Config{
		Mailboxes: w.boxes, Accounts: w.host.Accounts(), TLS: w.host.TLS, Trusted: func(net.Conn) bool { return trusted },
		Log: w.host.Log(), Metrics: w.host.Metrics(), Limits: limits,
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 2)
	for _, listener := range []*net.Listener{&w.plain, &w.secure} {
		var err error
		if *listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		go func() { served <- server.Serve(ctx, *listener, listener == &w.secure) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			select {
			case err := <-served:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("Serve does not end")
			}
		}
		if server.total != 0 || len(server.of) != 0 {
			t.Errorf("%d connections are left, of %v", server.total, server.of)
		}
	})
	return w
}

// A client is a conversation by hand.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	tag  int
}

func (w *world) dial(t testing.TB, listener net.Listener) *client {
	t.Helper()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t}
	c.use(conn)
	if listener == w.secure {
		c.use(tls.Client(conn, w.trust(t)))
	}
	if line := c.line(); !strings.HasPrefix(line, "* OK [CAPABILITY IMAP4rev2 IMAP4rev1") {
		t.Fatalf("it greets with %q", line)
	}
	return c
}

func (w *world) trust(t testing.TB) *tls.Config {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(w.host.CA()) {
		t.Fatal("no CA")
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

func (c *client) use(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c.conn, c.in = conn, bufio.NewReader(conn)
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%q, %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// do sends a command, with literals after "+", and returns the answer: untagged lines and the last one without
// its tag.
func (c *client) do(command string, literals ...string) string {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("t%d", c.tag)
	c.send(tag + " " + command + "\r\n")
	var out []string
	for {
		line := c.line()
		if strings.HasPrefix(line, "+") && len(literals) > 0 {
			c.send(literals[0] + "\r\n")
			literals = literals[1:]
			continue
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return strings.Join(append(out, rest), "\n")
		}
		out = append(out, line)
	}
}

// want checks that an answer has something.
func (c *client) want(command, want string, literals ...string) {
	c.t.Helper()
	if got := c.do(command, literals...); !strings.Contains(got, want) {
		c.t.Errorf("%.200s\n got %q\nwant %q", command, got, want)
	}
}

const login = "LOGIN ann " + apptest.AppPassword

func (w *world) client(t testing.TB) *client {
	c := w.dial(t, w.plain)
	c.want(login, "OK")
	return c
}

func (c *client) append(folder, raw string) {
	c.t.Helper()
	c.want(fmt.Sprintf("APPEND %s {%d}", folder, len(raw)), "OK [APPENDUID ", raw)
}

const mixed = "From: =?utf-8?q?J=C3=BCrgen?= <j@oak>\r\nTo: ann@maple\r\nSubject: two parts\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n" +
	"Message-ID: <1@oak>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\nHello.\r\n" +
	"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.bin\r\n\r\nAAEC/w==\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--b--\r\n"

func TestConversation(t *testing.T) {
	w := start(t, Limits{}, true)
	c := w.client(t)
	c.append("INBOX", mixed)
	for _, step := range []struct{ command, want string }{
		{"NAMESPACE", `* NAMESPACE (("" "/")) NIL NIL`},
		{`LIST "" "*"`, `* LIST (\Drafts \HasNoChildren) "/" "Drafts"`},
		{`LIST "" ""`, `* LIST (\Noselect) "/" ""`},
		{`LIST (SPECIAL-USE) "" "*"`, `* LIST (\Sent \HasNoChildren) "/" "Sent"`},
		{`CREATE a/b/c`, "OK"},
		{`CREATE a`, "NO [ALREADYEXISTS]"},
		{`LIST "" %`, `* LIST (\HasChildren) "/" "a"`},
		{`LIST "" (inbox a/%) RETURN (STATUS (MESSAGES UIDNEXT))`, "* STATUS INBOX (MESSAGES 1 UIDNEXT 2)"},
		{`DELETE a`, "OK"},
		{`LIST "" %`, `* LIST (\NonExistent \Noselect \HasChildren) "/" "a"`},
		{`UNSUBSCRIBE a/b`, "OK"},
		{`LSUB "" a/*`, `* LSUB (\Subscribed \HasNoChildren) "/" "a/b/c"`},
		{`RENAME a/b x`, "OK"},
		{`STATUS x/c (MESSAGES UNSEEN SIZE DELETED)`, `(MESSAGES 0 UNSEEN 0 DELETED 0 SIZE 0)`},
		{`RENAME x x/y`, "NO [CANNOT]"},
		{`STATUS none (MESSAGES)`, `NO [NONEXISTENT]`},
		{`DELETE INBOX`, `NO [CANNOT]`},
		{`FETCH 1 FLAGS`, `BAD`},
		{`SELECT none`, `NO [NONEXISTENT]`},
		{`EXAMINE INBOX`, `OK [READ-ONLY]`},
		{`EXPUNGE`, `NO [NOPERM]`},
		{`CLOSE`, `OK`},
		{`EXAMINE INBOX`, `OK [READ-ONLY]`},
		{`STORE 1 +FLAGS (\Seen)`, `NO [NOPERM]`},
		{`FETCH 1 BODY[]`, "Hello."},
		{`FETCH 1 FLAGS`, `* 1 FETCH (FLAGS ())`},
		{`SELECT INBOX`, `OK [READ-WRITE]`},
		{`FETCH 1 ENVELOPE`, `* 1 FETCH (ENVELOPE ("Mon, 02 Nov 2026 10:00:00 +0100" "two parts" (("=?utf-8?q?J=C3=BCrgen?=" NIL "j" "oak")) (("=?utf-8?q?J=C3=BCrgen?=" NIL "j" "oak")) (("=?utf-8?q?J=C3=BCrgen?=" NIL "j" "oak")) ((NIL NIL "ann" "maple")) NIL NIL NIL "<1@oak>"))`},
		{`FETCH 1 BODYSTRUCTURE`, `* 1 FETCH (BODYSTRUCTURE (("text" "plain" NIL NIL NIL "7bit" 6 1 NIL NIL NIL NIL)("application" "octet-stream" NIL NIL NIL "base64" 8 NIL ("attachment" ("filename" "a.bin")) NIL NIL)("message" "rfc822" NIL NIL NIL "7bit" 28 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 10 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL))`},
		{`FETCH 1 BODY.PEEK[1]`, "BODY[1] {6}\nHello.)"},
		{`FETCH 1 BODY.PEEK[2.MIME]`, "BODY[2.MIME] {126}\nContent-Type: application"},
		{`FETCH 1 BODY.PEEK[3.HEADER]`, "BODY[3.HEADER] {18}\nSubject: inner"},
		{`FETCH 1 BODY.PEEK[3.TEXT]`, "BODY[3.TEXT] {10}\ninner body)"},
		{`FETCH 1 BODY.PEEK[3.1]`, "BODY[3.1] {10}\ninner body)"},
		{`FETCH 1 BODY.PEEK[9.1]`, "BODY[9.1] {0}\n)"},
		{`FETCH 1 BODY.PEEK[HEADER.FIELDS (subject)]`, "{22}\nSubject: two parts\n\n)"},
		{`FETCH 1 BODY.PEEK[]<6.5>`, "BODY[]<6> {5}\n=?utf)"},
		{`FETCH 1 BODY.PEEK[1]<100.5>`, "BODY[1]<100> {0}\n)"},
		{`FETCH 1 BODY.PEEK[1]<1.9223372036854775807>`, "{5}\nello.)"},
		{`FETCH 1 (BINARY.SIZE[2] BINARY.PEEK[1])`, "BINARY[1] ~{6}\nHello. BINARY.SIZE[2] 4)"},
		{`FETCH 1 FLAGS`, `* 1 FETCH (FLAGS ())`},
		{`FETCH 1 BODY[TEXT]`, `FLAGS (\Seen)`},
		{`FETCH 1:* (UID RFC822.SIZE)`, fmt.Sprintf(`* 1 FETCH (UID 1 RFC822.SIZE %d)`, len(mixed))},
		{`FETCH 2 FLAGS`, "OK FETCH completed"},
		{`UID FETCH 7:* FLAGS`, `* 1 FETCH (UID 1 FLAGS (\Seen))`},
		{`STORE 1 -FLAGS.SILENT (\Seen)`, "OK"},
		{`STORE 1 FLAGS (\Flagged $Work)`, `* 1 FETCH (FLAGS (\Flagged $Work))`},
		{`STORE 1 +FLAGS (\Nonsense)`, `NO [CANNOT]`},
		{`SEARCH TEXT hello`, "* SEARCH 1"},
		{`UID SEARCH RETURN (MIN MAX COUNT) ALL`, `UID MIN 1 MAX 1 COUNT 1`},
		{`SEARCH RETURN (SAVE) FLAGGED`, "OK"},
		{`FETCH $ UID`, "* 1 FETCH (UID 1)"},
		{`SEARCH $ SEEN`, "* SEARCH\nOK"},
		{`SEARCH CHARSET KOI8-R ALL`, "NO [BADCHARSET]"},
		{`COPY 1 none`, "NO [TRYCREATE]"},
		{`COPY 1 Archive`, "OK [COPYUID "},
		{`MOVE 1 Archive`, "* OK [COPYUID "},
		{`NOOP`, "OK"},
		{`SELECT Archive`, "* 2 EXISTS"},
		{`STORE 1:2 +FLAGS (\Deleted)`, `* 2 FETCH (FLAGS (\Flagged \Deleted $Work))`},
		{`UID EXPUNGE 2`, "* 2 EXPUNGE\nOK"},
		{`EXPUNGE`, "* 1 EXPUNGE\nOK"},
		{`CLOSE`, "OK"},
		{`ENABLE IMAP4rev2`, "* ENABLED IMAP4rev2"},
		{`SELECT Sent`, `* LIST (\Sent) "/" "Sent"`},
		{`CREATE "Ärger"`, "OK"},
		{`LIST "" "Ärger"`, `"Ärger"`},
		{`CAPABILITY`, `APPENDLIMIT=67108864`},
		{`RENAME INBOX INBOX/old`, "OK"},
		{`STATUS INBOX/old (MESSAGES)`, `* STATUS "INBOX/old"`},
		{`LOGOUT`, "* BYE"},
	} {
		c.want(step.command, step.want)
	}
}

func TestSignIn(t *testing.T) {
	w := start(t, Limits{PerAccount: 2}, false)
	c := w.dial(t, w.plain)
	c.want(login, "NO [PRIVACYREQUIRED]")
	c.want("AUTHENTICATE PLAIN", "NO [PRIVACYREQUIRED]")
	c.want("STARTTLS", "OK")
	c.use(tls.Client(c.conn, w.trust(t)))
	c.want("LOGIN ann wrong", "NO [AUTHENTICATIONFAILED]")
	c.want("LOGIN nobody wrong", "NO [AUTHENTICATIONFAILED]")
	c.want("AUTHENTICATE MD5", "NO ")
	c.want("AUTHENTICATE PLAIN", "BAD", "*")
	c.want("AUTHENTICATE PLAIN !!!", "NO")
	c.want(login, "OK [CAPABILITY")
	second := w.dial(t, w.secure)
	second.want(login, "OK")
	third := w.dial(t, w.secure)
	third.want(login, "NO [UNAVAILABLE]")
	for range maxFailures {
		third.send("a LOGIN ann wrong\r\n")
	}
	for err := error(nil); err == nil; {
		_, err = third.in.ReadString('\n')
	}
}

// TestTwoClients has clients see each other's changes, by IDLE and by NOOP.
func TestTwoClients(t *testing.T) {
	w := start(t, Limits{}, true)
	a, b := w.client(t), w.client(t)
	a.want("SELECT INBOX", "* 0 EXISTS")
	b.want("SELECT INBOX", "* 0 EXISTS")
	b.send("i IDLE\r\n")
	if line := b.line(); !strings.HasPrefix(line, "+") {
		t.Fatal(line)
	}
	for _, step := range []struct{ command, want string }{
		{"", "* 1 EXISTS"},
		{`STORE 1 +FLAGS (\Flagged)`, `* 1 FETCH (UID 1 FLAGS (\Flagged))`},
		{`MOVE 1 Trash`, `* 1 EXPUNGE`},
	} {
		if step.command == "" {
			a.append("INBOX", mixed)
		} else {
			a.want(step.command, "OK")
		}
		if line := b.line(); line != step.want {
			t.Errorf("%s: the other is told %q", step.command, line)
		}
	}
	b.send("DONE\r\n")
	if line := b.line(); !strings.HasPrefix(line, "i OK") {
		t.Error(line)
	}
	a.append("INBOX", mixed)
	b.want("NOOP", "* 1 EXISTS")
	a.want("STORE 1 FLAGS (\\Deleted)", "OK")
	a.want("EXPUNGE", "* 1 EXPUNGE")
	b.want("FETCH 1 FLAGS", "OK") // it is gone, and keeps its number
	b.want("NOOP", "* 1 EXPUNGE")
	for _, command := range []string{"CREATE mine", "SELECT mine", "DELETE mine", "NOOP", "SELECT INBOX"} { // who deletes it stays
		a.want(command, "OK")
	}
	b.want("SELECT Trash", "* 1 EXISTS")
	a.want("DELETE Trash", "OK")
	if got := b.rest("NOOP"); !strings.Contains(got, "* BYE") {
		t.Errorf("in a deleted folder: %q", got)
	}
}

// rest sends a command and returns all up to the end of the connection.
func (c *client) rest(command string) string {
	c.send("x " + command + "\r\n")
	var all strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String()
		}
	}
}

// TestDeleteRenamed has a client select a folder that another renames, and delete a new one of the old name.
func TestDeleteRenamed(t *testing.T) {
	w := start(t, Limits{}, true)
	one, two := w.client(t), w.client(t)
	one.want("CREATE A", "OK")
	one.want("SELECT A", "OK")
	two.want("RENAME A B", "OK")
	two.want("CREATE A", "OK")
	one.want("DELETE A", "OK")
	two.append("B", "Subject: x\r\n\r\ny\r\n")
	if got := one.do("NOOP"); !strings.Contains(got, "* 1 EXISTS") {
		t.Errorf("it hears %q", got)
	}
	one.want("FETCH 1 ("+strings.Repeat("BODY.PEEK[HEADER.FIELDS (X)] ", 200)+"UID)", "NO")
}

// TestBadInput sends what nobody should.
func TestBadInput(t *testing.T) {
	w := start(t, Limits{}, true)
	other := w.client(t)
	other.want("SELECT INBOX", "OK")
	for _, test := range []struct{ command, want string }{
		{"APPEND INBOX {9223372036854775807}", "NO [TOOBIG]"},
		{"APPEND INBOX {9223372036854775808}", "BAD"},
		{"APPEND INBOX {104857600}", "NO [TOOBIG]"},
		{"APPEND INBOX {0}", ""},
		{"LOGIN {99999999}", ""},
		{"CREATE {5000}", "BAD"},
		{"SEARCH " + strings.Repeat("NOT ", 2000) + "ALL", ""},
		{"SEARCH " + strings.Repeat("(", 2000), ""},
		{"FETCH 1:4294967295 FLAGS", ""},
		{"UID FETCH 4294967295:1,1:* FLAGS", ""},
		{"FETCH 4294967296 FLAGS", "NO"},
		{"STORE 1 +FLAGS (" + strings.Repeat("k ", 5000) + ")", ""},
		{"LIST \"\" " + strings.Repeat("*a", 500), "OK"},
		{"CREATE \"a\x01b\"", ""},
		{"CREATE " + strings.Repeat("x", 60<<10), ""},
		{"\x00\xff\xfe", ""},
	} {
		c := w.client(t)
		c.want("SELECT INBOX", "OK")
		c.send("t9 " + test.command + "\r\n\r\nt10 LOGOUT\r\n")
		var all strings.Builder
		for {
			line, err := c.in.ReadString('\n')
			all.WriteString(line)
			if err != nil {
				break
			}
		}
		if !strings.Contains(all.String(), test.want) {
			t.Errorf("%.60q: %q", test.command, all.String())
		}
	}
	other.want("NOOP", "OK")
	raw := strings.Repeat("x", 3<<20)
	other.want(fmt.Sprintf("APPEND INBOX {%d}", len(raw)), "OK [APPENDUID", raw)
}

// TestManyConnections holds connections up to the limit.
func TestManyConnections(t *testing.T) {
	w := start(t, Limits{Connections: 3}, true)
	for range 3 {
		w.dial(t, w.plain)
	}
	conn, err := net.Dial("tcp", w.plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "* BYE [UNAVAILABLE] ") {
		t.Errorf("one too many hears %q, %v", line, err)
	}
}

// FuzzConversation sends lines in each state.
func FuzzConversation(f *testing.F) {
	for _, seed := range []string{
		"a NOOP\r\n", "a LOGIN ann x\r\n", "a APPEND INBOX {3}\r\nabc\r\n", "a SEARCH NOT OR ALL SEEN\r\n", "a FETCH 1:* (ENVELOPE BODY[1.MIME]<0.5>)\r\n",
		"a UID STORE 1 +FLAGS.SILENT (\\Seen x)\r\n", "a IDLE\r\nDONE\r\n", "a AUTHENTICATE PLAIN\r\nAGE=\r\n", "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a% *) RETURN (STATUS (SIZE))\r\n",
		"a MOVE $ Trash\r\na RENAME INBOX b\r\n", "a SELECT {5+}\r\nINBOX\r\n", "a CLOSE\r\na EXPUNGE\r\n",
	} {
		for state := range 3 {
			f.Add(state, seed)
		}
	}
	w := start(f, Limits{}, true)
	f.Fuzz(func(t *testing.T, state int, text string) {
		if len(text) > 4<<10 {
			return
		}
		c := w.dial(t, w.plain)
		if state%3 > 0 {
			c.want(login, "")
		}
		if state%3 > 1 {
			c.do("SELECT INBOX")
		}
		c.conn.SetDeadline(time.Now().Add(5 * time.Second))
		c.conn.Write([]byte(text + "\r\nz LOGOUT\r\n"))
		c.conn.(*net.TCPConn).CloseWrite()
		for err := error(nil); err == nil; {
			if _, err = c.in.ReadString('\n'); err != nil {
				if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
					t.Fatalf("no end of %q", text)
				}
			}
		}
		c.conn.Close()
	})
}

// TestScram signs in without telling the password, as mellium.im/sasl does it.
func TestScram(t *testing.T) {
	w := start(t, Limits{}, false)
	for _, secret := range []string{apptest.AppPassword, "wrong"} {
		c := w.dial(t, w.secure)
		client := sasl.NewClient(sasl.ScramSha256, sasl.Credentials(func() (user, password, identity []byte) {
			return []byte("ann"), []byte(secret), nil
		}))
		_, message, err := client.Step(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.send("a AUTHENTICATE SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString(message) + "\r\n")
		answer := c.line()
		for strings.HasPrefix(answer, "+ ") {
			challenge, err := base64.StdEncoding.DecodeString(answer[2:])
			if err != nil {
				t.Fatal(err)
			}
			if _, message, err = client.Step(challenge); err != nil {
				t.Fatal(err)
			}
			c.send(base64.StdEncoding.EncodeToString(message) + "\r\n")
			answer = c.line()
		}
		if ok := strings.HasPrefix(answer, "a OK"); ok != (secret == apptest.AppPassword) {
			t.Errorf("%s: %q", secret, answer)
		}
	}
}

// TestIdleMemory has clients wait, and looks at what that takes.
func TestIdleMemory(t *testing.T) {
	const count = 300
	w := start(t, Limits{PerAccount: count + 1}, true)
	c := w.client(t)
	c.append("INBOX", mixed)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var waiting []*client
	for range count {
		idle := w.client(t)
		idle.do("SELECT INBOX")
		idle.send("i IDLE\r\n")
		idle.line()
		waiting = append(waiting, idle)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / count
	t.Logf("%d bytes for a client and the server's side of it", each)
	if each > 100<<10 {
		t.Errorf("an idle connection takes %d bytes", each)
	}
	c.append("INBOX", mixed)
	for _, idle := range waiting {
		if line := idle.line(); line != "* 2 EXISTS" {
			t.Fatalf("one who waits is told %q", line)
		}
	}
}

// TestCutOff has clients go in the middle of things.
func TestCutOff(t *testing.T) {
	w := start(t, Limits{}, true)
	watch := w.client(t)
	c := w.client(t)
	c.send("a APPEND INBOX {1000}\r\n")
	if line := c.line(); !strings.HasPrefix(line, "+") {
		t.Fatal(line)
	}
	c.send("Subject: half")
	c.conn.(*net.TCPConn).CloseWrite()
	for err := error(nil); err == nil; {
		_, err = c.in.ReadString('\n')
	}
	watch.want("STATUS INBOX (MESSAGES)", "(MESSAGES 0)")

	// What comes in plain text behind STARTTLS is not taken for a command.
	c = w.dial(t, w.plain)
	c.send("a STARTTLS\r\nb " + login + "\r\nc CREATE smuggled\r\n")
	if line := c.line(); !strings.HasPrefix(line, "a OK") {
		t.Fatal(line)
	}
	c.use(tls.Client(c.conn, w.trust(t)))
	if err := c.conn.(*tls.Conn).Handshake(); err == nil {
		t.Error("the handshake succeeds")
	}
	watch.want("STATUS smuggled (MESSAGES)", "NO")

	// Who does not read what he asked for is in nobody's way.
	raw := strings.Repeat("0123456789abcde\n", 1<<16)
	watch.append("INBOX", raw)
	c = w.client(t)
	c.send("a SELECT INBOX\r\n" + strings.Repeat("b FETCH 1 BODY[]\r\n", 100))
	watch.want("SELECT INBOX", "* 1 EXISTS")
	watch.want("FETCH 1 RFC822.SIZE", "1048576")
}

// TestRevoked has an app password removed while a client waits, and while one is idle.
func TestRevoked(t *testing.T) {
	w := start(t, Limits{}, true)
	var clients []*client
	for _, command := range []string{"a NOOP", "a IDLE"} {
		c := w.dial(t, w.plain)
		c.do("LOGIN ann " + apptest.AppPassword)
		c.do("SELECT INBOX")
		fmt.Fprintf(c.conn, "%s\r\n", command)
		c.line()
		clients = append(clients, c)
	}
	w.host.Accounts().(*apptest.Accounts).Revoke(apptest.Ann)
	for _, c := range clients {
		if line, err := c.in.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("heard %q, %v", line, err)
		}
	}
}

// A counted listener says when a connection of its is garbage.
type counted struct {
	net.Listener
	gone chan bool
}

func (l counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &struct{ net.Conn }{conn}
	runtime.SetFinalizer(tracked, func(*struct{ net.Conn }) { l.gone <- true })
	return tracked, nil
}

// TestNothingStays has a connection end, of which nothing is to be left in a server that goes on.
func TestNothingStays(t *testing.T) {
	w := start(t, Limits{}, true)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := counted{inner, make(chan bool, 10)}
	server := New(Config{
		Mailboxes: w.boxes, Accounts: w.host.Accounts(), TLS: w.host.TLS, Trusted: func(net.Conn) bool { return true },
		Log: w.host.Log(), Metrics: new(kith.Metrics),
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, false) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		c := w.dial(t, listener)
		c.do("LOGIN ann " + apptest.AppPassword)
		c.do("LOGOUT")
		c.conn.Close()
	}
	// The last one may still be on somebody's stack.
	for gone, deadline := 0, time.Now().Add(10*time.Second); gone < 2; {
		runtime.GC()
		select {
		case <-listener.gone:
			gone++
		case <-time.After(10 * time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatalf("%d of 3 connections are forgotten", gone)
			}
		}
	}
}
