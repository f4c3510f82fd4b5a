package mail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/kithtest/apptest"
	"kith.alt/kith/kithtest/require"
)

// A world is the application with its ports on loopback, for programs.
type world struct {
	host *apptest.Host
	dir  string // for their files; ca.pem is there
	port map[string]string
}

// start runs the application. Programs reach it by ports that pass on what they get.
func start(t *testing.T) *world {
	t.Helper()
	app := App()
	for i := range app.Ports { // the host in memory listens on the overlay only
		app.Ports[i].Overlay = uint16(30000 + i)
	}
	host := apptest.NewHost(t, app)
	host.Serve(t)
	w := &world{host: host, dir: t.TempDir(), port: make(map[string]string)}
	for _, port := range app.Ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		_, w.port[port.Protocol], _ = net.SplitHostPort(listener.Addr().String())
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go w.relay(conn, port.Overlay)
			}
		}()
	}
	w.write(t, "ca.pem", string(host.CA()))
	return w
}

func (w *world) relay(conn net.Conn, port uint16) {
	defer conn.Close()
	inner, err := w.host.Oak.Dial(context.Background(), w.host.Address(port))
	if err != nil {
		return
	}
	defer inner.Close()
	go func() {
		io.Copy(inner, conn)
		inner.Close()
	}()
	io.Copy(conn, inner)
}

func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program in the world's folder.
func (w *world) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, require.Tool(t, name), args...)
	command.Dir = w.dir
	command.Env = append(os.Environ(), "HOME="+w.dir, "TERM=dumb")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// put puts messages into a folder without a program.
func (w *world) put(t *testing.T, folder string, messages ...string) {
	t.Helper()
	boxes := mailbox.New(mailbox.Config{Store: w.host.Store(), Blobs: w.host.Blobs(), Log: w.host.Log()})
	if err := boxes.Prepare(t.Context(), apptest.Ann); err != nil {
		t.Fatal(err)
	}
	for _, message := range messages {
		blob, err := boxes.Write(t.Context(), strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := boxes.Append(t.Context(), apptest.Ann, folder, mailbox.Delivery{Blob: blob}); err != nil {
			t.Fatal(err)
		}
	}
}

func letter(n int) string {
	return fmt.Sprintf("From: Bob <bob@oak.home.kith.alt>\r\nTo: ann@maple.home.kith.alt\r\nSubject: letter %d\r\n"+
		"Date: Mon, 2 Nov 2026 10:00:%02d +0100\r\nMessage-ID: <%d@oak.home.kith.alt>\r\n\r\nThis is letter %d.\r\n.\r\n..two dots\r\n", n, n%60, n, n)
}

const user = apptest.Ann + ":" + apptest.AppPassword

func TestCurl(t *testing.T) {
	w := start(t)
	w.put(t, mailbox.Inbox, letter(1), letter(2))
	curl := func(args ...string) string {
		return w.run(t, "curl", append([]string{"--silent", "--show-error", "--cacert", "ca.pem", "--user", user, "--max-time", "30"}, args...)...)
	}
	imaps, pop3s := "imaps://localhost:"+w.port["imaps"]+"/", "pop3s://localhost:"+w.port["pop3s"]+"/"
	imap, pop3 := "imap://localhost:"+w.port["imap"]+"/", "pop3://localhost:"+w.port["pop3"]+"/"
	if got := curl(imaps); !strings.Contains(got, `(\Sent \HasNoChildren) "/" Sent`) && !strings.Contains(got, `"Sent"`) {
		t.Errorf("folders: %s", got)
	}
	for _, url := range []string{imaps + "INBOX;UID=2", imap + "INBOX;MAILINDEX=2", pop3s + "2", pop3 + "2"} {
		for _, more := range [][]string{{"--ssl-reqd"}, {"--ssl-reqd", "--login-options", "AUTH=PLAIN"}} {
			if got := curl(append(more, url)...); got != letter(2) {
				t.Errorf("%s %s: %q", more, url, got)
			}
		}
	}
	w.write(t, "new.eml", letter(3))
	curl("--upload-file", "new.eml", imaps+"Drafts")
	if got := curl(imaps + "Drafts;UID=1"); got != letter(3) {
		t.Errorf("uploaded: %q", got)
	}
	if got := curl(imaps+"INBOX", "--request", "SEARCH BODY letter SUBJECT 2"); strings.TrimSpace(got) != "* SEARCH 2" {
		t.Errorf("search: %q", got)
	}
	if got := curl(pop3s); strings.Fields(got)[0] != "1" {
		t.Errorf("maildrop: %q", got)
	}
	curl(pop3s+"1", "--request", "DELE", "--list-only")
	if got := curl(imaps+"INBOX", "--request", "SEARCH ALL"); strings.TrimSpace(got) != "* SEARCH 1" {
		t.Errorf("one is left: %q", got)
	}
}

func TestMbsync(t *testing.T) {
	w := start(t)
	for _, dir := range []string{"mail", "state"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var letters []string
	for n := range 60 {
		letters = append(letters, letter(n))
	}
	w.put(t, mailbox.Inbox, letters...)
	config := w.write(t, "mbsyncrc", strings.NewReplacer("DIR", w.dir, "PORT", w.port["imaps"], "SECRET", apptest.AppPassword).Replace(`
IMAPAccount kith
Host localhost
Port PORT
User ann
Pass SECRET
SSLType IMAPS
CertificateFile DIR/ca.pem
AuthMechs LOGIN

IMAPStore far
Account kith

MaildirStore near
Path DIR/mail/
Inbox DIR/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState DIR/state/
`))
	sync := func() { w.run(t, "mbsync", "-c", config, "-a") }
	sync()
	files, err := filepath.Glob(filepath.Join(w.dir, "mail/INBOX/new/*"))
	if err != nil || len(files) != 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// One is read, one is deleted, one is new.
	if err := os.Rename(files[0], strings.Replace(files[0], "/new/", "/cur/", 1)+"S"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	w.write(t, "mail/Drafts/cur/1.local:2,D", strings.ReplaceAll(letter(100), "\r\n", "\n"))
	sync()
	boxes := mailbox.New(mailbox.Config{Store: w.host.Store(), Blobs: w.host.Blobs(), Log: w.host.Log()})
	inbox, err := boxes.Folder(t.Context(), apptest.Ann, mailbox.Inbox)
	if err != nil || inbox.Messages != 59 || inbox.Unseen != 58 {
		t.Errorf("INBOX has %d messages, %d unseen, %v", inbox.Messages, inbox.Unseen, err)
	}
	if drafts, err := boxes.Folder(t.Context(), apptest.Ann, mailbox.Drafts); err != nil || drafts.Messages != 1 {
		t.Errorf("Drafts has %d messages, %v", drafts.Messages, err)
	}
	sync()
	if again, _ := boxes.Folder(t.Context(), apptest.Ann, mailbox.Inbox); again.ModSeq != inbox.ModSeq {
		t.Error("nothing is new, and something changes")
	}
}

func TestFetchmail(t *testing.T) {
	w := start(t)
	w.put(t, mailbox.Inbox, letter(1), letter(2))
	for _, protocol := range []string{"pop3", "imap"} {
		config := w.write(t, "fetchmailrc", fmt.Sprintf("poll localhost protocol %s port %s %s\n  user ann password %q ssl sslcertck sslcertfile \"%s\" mda \"cat >> %s/got\" %s\n",
			protocol, w.port[protocol+"s"], map[string]string{"pop3": "uidl"}[protocol], apptest.AppPassword, filepath.Join(w.dir, "ca.pem"), w.dir,
			map[string]string{"pop3": "keep", "imap": "nokeep"}[protocol]))
		w.run(t, "fetchmail", "--fetchmailrc", config, "--pidfile", filepath.Join(w.dir, "pid"), "--idfile", filepath.Join(w.dir, "ids"), "--nosyslog", "--verbose")
		got, err := os.ReadFile(filepath.Join(w.dir, "got"))
		if err != nil || bytes.Count(got, []byte("This is letter")) != 2 {
			t.Errorf("%s: %s, %v", protocol, got, err)
		}
		os.Remove(filepath.Join(w.dir, "got"))
	}
	boxes := mailbox.New(mailbox.Config{Store: w.host.Store(), Blobs: w.host.Blobs(), Log: w.host.Log()})
	if inbox, err := boxes.Folder(t.Context(), apptest.Ann, mailbox.Inbox); err != nil || inbox.Messages != 0 {
		t.Errorf("%d are left, %v", inbox.Messages, err)
	}
}

func TestMutt(t *testing.T) {
	w := start(t)
	w.put(t, mailbox.Inbox, letter(1), letter(2))
	config := w.write(t, "muttrc", strings.NewReplacer("DIR", w.dir, "PORT", w.port["imaps"], "SECRET", apptest.AppPassword).Replace(`
set folder="imaps://ann@localhost:PORT/"
set spoolfile="imaps://ann@localhost:PORT/INBOX"
set imap_pass="SECRET"
set certificate_file="DIR/ca.pem"
set imap_authenticators="login"
set delete=yes
set confirmappend=no
set confirmcreate=no
set quit=yes
set wait_key=no
set sort=mailbox-order
`))
	_ = require.Tool(t, "mutt")
	// It copies the first message to a file, moves it to Archive, and leaves.
	push := "<copy-message>" + w.dir + "/copied<enter><save-message>=Archive<enter><sync-mailbox><quit>"
	w.run(t, "script", "-qec", fmt.Sprintf("mutt -n -F %s -e 'push \"%s\"'", config, push), "/dev/null")
	got, err := os.ReadFile(filepath.Join(w.dir, "copied"))
	if err != nil || !bytes.Contains(got, []byte("This is letter 1.")) {
		t.Errorf("copied: %q, %v", got, err)
	}
	boxes := mailbox.New(mailbox.Config{Store: w.host.Store(), Blobs: w.host.Blobs(), Log: w.host.Log()})
	for folder, want := range map[string]uint32{mailbox.Inbox: 1, mailbox.Archive: 1} {
		if f, err := boxes.Folder(t.Context(), apptest.Ann, folder); err != nil || f.Messages != want {
			t.Errorf("%s has %d messages, %v", folder, f.Messages, err)
		}
	}
}
