package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/mail"
	"net/smtp"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"modernc.org/sqlite"

	"kith.alt/kith"
	"kith.alt/kith/app/all"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/node"
)

var kills = flag.Int("kills", 0, "`ROUNDS` of TestMailKilled, and of TestShareKilled; 0: 6, under KITH_TEST=all 100 and 50")

// TestMailKilled has programs send mail by SMTP from maple to oak, with elm between them, each a process, and
// kills one after another: at random moments, and at random changes of its database. In
// the end IMAP shows each message that was answered with 250 once, byte for byte, and each other one at most once.
func TestMailKilled(t *testing.T) {
	rounds := 6
	if *kills > 0 {
		rounds = *kills
	} else if require.Everything() {
		rounds = 100
	}
	w := newMailWorld(t, "maple", "oak", "elm")
	var programs sync.WaitGroup
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	for range 2 {
		programs.Go(func() { w.connection(ctx) })
	}
	programs.Go(func() { w.msmtp(ctx) })
	programs.Go(func() { w.watch(ctx) })
	began := time.Now()
	for range rounds {
		n := w.nodes[rand.IntN(len(w.nodes))]
		if rand.IntN(2) == 0 {
			<-time.After(rand.N(200 * time.Millisecond))
			n.cmd.Process.Kill()
		} else {
			n.crashSoon()
		}
		<-n.done
		crash := ""
		switch rand.IntN(4) {
		case 0:
			crash = "row " + strconv.Itoa(1+rand.IntN(600))
		case 1:
			crash = "commit " + strconv.Itoa(1+rand.IntN(80))
		}
		n.start(t, crash)
	}
	killing := time.Since(began)
	enough()
	programs.Wait()
	for _, n := range w.nodes { // without crash points
		n.cmd.Process.Kill()
		<-n.done
		n.start(t, "")
	}
	tried := len(w.hash)
	w.settle(t)
	w.audit(t)
	t.Logf("%d rounds in %v: %d messages tried, %d answered with 250", rounds, killing.Round(time.Millisecond), tried, len(w.taken))
}

// A mailWorld is three nodes, and what programs sent.
type mailWorld struct {
	nodes []*mailNode // sender, receiver, custodians
	dir   string

	crowded atomic.Bool // more letters are under way than the programs are to add to

	mu    sync.Mutex
	hash  map[string]string // of the body, by Message-ID
	taken map[string]bool   // answered with 250
}

// A mailNode is a node that runs in a process of its own.
type mailNode struct {
	name, data, account, secret string
	pool                        *x509.CertPool
	ca                          []byte
	control                     *control.Client
	cmd                         *exec.Cmd
	done                        chan struct{} // the process has ended
	listener                    atomic.Pointer[map[string]string]
}

func newMailWorld(t *testing.T, names ...string) *mailWorld {
	t.Helper()
	ctx := t.Context()
	w := &mailWorld{dir: t.TempDir(), hash: make(map[string]string), taken: make(map[string]bool)}
	for _, name := range names {
		n := &mailNode{name: name, data: filepath.Join(w.dir, name), account: "of-" + name}
		n.control = control.NewClient(n.data)
		t.Cleanup(func() { n.control.Close() })
		ticket := ""
		if len(w.nodes) > 0 {
			invitation, err := w.nodes[0].control.Invite(ctx, control.InviteRequest{})
			if err != nil {
				t.Fatal(err)
			}
			ticket = invitation.Ticket
		}
		n.start(t, "", ticket)
		if err := n.control.AddAccount(ctx, n.account); err != nil {
			t.Fatal(err)
		}
		password, err := n.control.AddAppPassword(ctx, n.account, "test")
		if err != nil {
			t.Fatal(err)
		}
		authority, err := n.control.Certificate(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n.secret, n.ca, n.pool = password.Secret, []byte(authority.PEM), x509.NewCertPool()
		n.pool.AppendCertsFromPEM(n.ca)
		w.nodes = append(w.nodes, n)
	}
	await(t, "maple knows who is on the other hosts, and so the keys that letters to them are sealed to", func() bool {
		c, err := w.nodes[0].submit()
		if err != nil {
			return false
		}
		defer c.Close()
		if c.Mail(w.nodes[0].account+"@maple") != nil {
			return false
		}
		for _, n := range w.nodes[1:] {
			if c.Rcpt(n.account+"@"+n.name) != nil || c.Rcpt("nobody@"+n.name) == nil {
				return false
			}
		}
		return true
	})
	return w
}

// start starts the node, which dies at its crash point, and waits until it is ready or dead.
func (n *mailNode) start(t *testing.T, crash string, ticket ...string) {
	t.Helper()
	program, err := exec.LookPath("kith")
	if err != nil {
		t.Fatal(err)
	}
	n.cmd, n.done = exec.Command(program), make(chan struct{})
	n.cmd.Env = append(os.Environ(), nodeVariable+"="+strings.Join(append([]string{n.name, n.data}, ticket...), " "), crashVariable+"="+crash)
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := n.cmd, n.done
	t.Cleanup(func() { cmd.Process.Kill(); <-done })
	listener := make(map[string]string)
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		switch words := strings.Fields(lines.Text()); {
		case len(words) == 2:
			listener[words[0]] = words[1]
		case lines.Text() == "ready":
			ready = true
		}
	}
	if ready {
		n.listener.Store(&listener)
	}
	go func() {
		io.Copy(io.Discard, out)
		cmd.Wait()
		close(done)
	}()
	if !ready && crash == "" {
		t.Fatalf("%s does not start", n.name)
	}
}

// stop has the node end.
func (n *mailNode) stop() {
	n.cmd.Process.Signal(os.Interrupt)
	<-n.done
}

// crashSoon waits for the node to die at its crash point, if it has one, and kills it otherwise.
func (n *mailNode) crashSoon() {
	select {
	case <-n.done:
	case <-time.After(200 * time.Millisecond):
		n.cmd.Process.Kill()
	}
}

func (n *mailNode) address(protocol string) string { return (*n.listener.Load())[protocol] }

// submit signs in as a program that sends mail.
func (n *mailNode) submit() (*smtp.Client, error) {
	conn, err := net.Dial("tcp", n.address("submission"))
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	c, err := smtp.NewClient(conn, "localhost")
	if err == nil {
		err = c.StartTLS(&tls.Config{RootCAs: n.pool, ServerName: "localhost"})
	}
	if err == nil {
		err = c.Auth(smtp.PlainAuth("", n.account, n.secret, "localhost"))
	}
	if err != nil {
		conn.Close()
	}
	return c, err
}

// message makes a message that nobody has made, and notes it.
func (w *mailWorld) message(n int) (id string, raw []byte) {
	size := rand.IntN(6 << 10)
	if n%20 == 0 {
		size = 16<<10 + rand.IntN(200<<10) // a file
	}
	var body bytes.Buffer
	for body.Len() < size {
		fmt.Fprintf(&body, "%016x%016x%016x\r\n", rand.Uint64(), rand.Uint64(), rand.Uint64())
	}
	id = fmt.Sprintf("<%016x@maple.home.kith.alt>", rand.Uint64())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hash[id] = fmt.Sprintf("%x", sha256.Sum256(body.Bytes()))
	maple, oak := w.nodes[0], w.nodes[1]
	return id, fmt.Appendf(nil, "From: %s@maple.home.kith.alt\r\nTo: %s@oak.home.kith.alt\r\nSubject: %d\r\nMessage-ID: %s\r\n\r\n%s", maple.account, oak.account, n, id, body.Bytes())
}

func (w *mailWorld) take(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken[id] = true
}

// watch looks how many letters are under way.
func (w *mailWorld) watch(ctx context.Context) {
	const most = 500
	for ctx.Err() == nil {
		<-time.After(100 * time.Millisecond)
		var letters []letterStatus
		if w.nodes[0].control.API(ctx, "post", http.MethodGet, "/letters?limit=1000", nil, &letters) == nil {
			w.crowded.Store(len(underWay(letters)) > most)
		}
	}
}

// A letterStatus is what the sender says of a letter.
type letterStatus struct{ State, Reason string }

func underWay(letters []letterStatus) []letterStatus {
	return slices.DeleteFunc(letters, func(s letterStatus) bool { return s.State != kith.LetterQueued && s.State != kith.LetterHeld })
}

// send sends a message on a connection, and notes whether that is answered with 250.
func (w *mailWorld) send(c *smtp.Client, n int) error {
	id, raw := w.message(n)
	if err := errors.Join(c.Mail(w.nodes[0].account+"@maple"), c.Rcpt(w.nodes[1].account+"@oak")); err != nil {
		return err
	}
	body, err := c.Data()
	if err != nil {
		return err
	}
	_, err = body.Write(raw)
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	w.take(id)
	return nil
}

// connection sends messages on a connection, and on the next one when that breaks.
func (w *mailWorld) connection(ctx context.Context) {
	maple := w.nodes[0]
	var c *smtp.Client
	for n := 0; ctx.Err() == nil; n++ {
		<-time.After(10 * time.Millisecond)
		if w.crowded.Load() {
			continue
		}
		if c == nil {
			var err error
			if c, err = maple.submit(); err != nil {
				c = nil
				continue
			}
		}
		if w.send(c, n) != nil {
			c.Close()
			c = nil
		}
	}
	if c != nil {
		c.Close()
	}
}

// msmtp sends messages by a program that ends with 0 when it has heard 250.
func (w *mailWorld) msmtp(ctx context.Context) {
	program, err := exec.LookPath("msmtp")
	if err != nil {
		return
	}
	maple, oak := w.nodes[0], w.nodes[1]
	ca := filepath.Join(w.dir, "ca.pem")
	if os.WriteFile(ca, maple.ca, 0o600) != nil {
		return
	}
	for n := 1; ctx.Err() == nil; n++ {
		<-time.After(30 * time.Millisecond)
		if w.crowded.Load() {
			continue
		}
		_, port, _ := net.SplitHostPort(maple.address("submissions"))
		id, raw := w.message(n)
		command := exec.Command(program, "--host=localhost", "--port="+port, "--tls=on", "--tls-starttls=off", "--tls-trust-file="+ca, "--auth=scram-sha-256",
			"--user="+maple.account, "--passwordeval=echo "+maple.secret, "--timeout=20", "--from="+maple.account+"@maple", oak.account+"@oak")
		command.Stdin = bytes.NewReader(raw)
		if command.Run() == nil {
			w.take(id)
		}
	}
}

// fetch reads all of INBOX: the hashes of the bodies by Message-ID.
func (w *mailWorld) fetch(t *testing.T, n *mailNode) map[string][]string {
	t.Helper()
	c, err := imapclient.DialTLS(n.address("imaps"), &imapclient.Options{TLSConfig: &tls.Config{RootCAs: n.pool, ServerName: "localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(n.account, n.secret).Wait(); err != nil {
		t.Fatal(err)
	}
	selected, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	if selected.NumMessages == 0 {
		return got
	}
	section := &imap.FetchItemBodySection{Peek: true}
	fetch := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}})
	defer fetch.Close()
	for m := fetch.Next(); m != nil; m = fetch.Next() {
		buffer, err := m.Collect()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(buffer.FindBodySection(section)))
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, parsed.Body); err != nil {
			t.Fatal(err)
		}
		id := parsed.Header.Get("Message-ID")
		got[id] = append(got[id], fmt.Sprintf("%x", hash.Sum(nil)))
	}
	return got
}

// settle waits until no letter of the sender is under way.
func (w *mailWorld) settle(t *testing.T) {
	t.Helper()
	var left []letterStatus
	defer func() {
		for i, l := range left[:min(len(left), 10)] {
			t.Logf("letter %d of %d: %s: %s", i, len(left), l.State, l.Reason)
		}
	}()
	await(t, "no letter is under way", func() bool {
		var letters []letterStatus
		err := w.nodes[0].control.API(t.Context(), "post", http.MethodGet, "/letters?limit=10000", nil, &letters)
		left = underWay(letters)
		return err == nil && len(left) == 0
	})
}

// audit compares what IMAP shows with what was sent: each message that was answered with 250 is there once, byte for
// byte, and each other one at most once.
func (w *mailWorld) audit(t *testing.T) {
	t.Helper()
	got := w.fetch(t, w.nodes[1])
	for id, hash := range w.hash {
		switch copies := got[id]; {
		case w.taken[id] && len(copies) == 0:
			t.Errorf("%s was answered with 250, and is lost", id)
		case len(copies) > 1:
			t.Errorf("%s has arrived %d times", id, len(copies))
		case len(copies) == 1 && copies[0] != hash:
			t.Errorf("%s has other bytes", id)
		}
		delete(got, id)
	}
	if len(got) > 0 {
		t.Errorf("%d messages that nobody sent", len(got))
	}
	if bounced := w.fetch(t, w.nodes[0]); len(bounced) > 0 {
		t.Errorf("the sender has %d notifications", len(bounced))
	}
}

const (
	nodeVariable  = "KITH_TEST_NODE"  // a node instead of the command line: name, data directory, ticket
	crashVariable = "KITH_TEST_CRASH" // where it dies: at a changed row, or before a commit; "row 12", "commit 3"
)

// runMailNode is a process of TestMailKilled.
func runMailNode() int {
	words := strings.Fields(os.Getenv(nodeVariable))
	if kind, text, ok := strings.Cut(os.Getenv(crashVariable), " "); ok {
		count, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 2
		}
		crashAt(kind, count)
	}
	c := node.Config{Name: words[0], Data: words[1], Group: "home", PortBase: config.AnyPort, OverlayHost: "127.0.0.1", Apps: all.Apps()}
	if len(words) > 2 {
		c.Group, c.Ticket = "", words[2]
	}
	n, err := node.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-n.Ready()
		status, err := n.Status(ctx)
		if err != nil {
			return
		}
		for _, l := range status.Listeners {
			if l.App == "mail" {
				fmt.Println(l.Protocol, l.Address)
			}
		}
		fmt.Println("ready")
	}()
	if err := n.Serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, words[0], err)
		return 1
	}
	return 0
}

// crashAt has the process die as the row of that number changes, or before that commit, whatever part of
// it does that.
func crashAt(kind string, count int64) {
	var seen atomic.Int64
	die := func() {
		if seen.Add(1) == count {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				self.Kill()
			}
			select {}
		}
	}
	sqlite.RegisterConnectionHook(func(c sqlite.ExecQuerierContext, _ string) error {
		hooks := c.(sqlite.HookRegisterer)
		if kind == "row" {
			hooks.RegisterPreUpdateHook(func(sqlite.SQLitePreUpdateData) { die() })
		} else {
			hooks.RegisterCommitHook(func() int32 { die(); return 0 })
		}
		return nil
	})
}
