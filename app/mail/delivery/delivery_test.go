package delivery

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
	"kith.alt/kith/kithtest/apptest"
)

// A host is one of several in a process: a Host of apptest with another name.
type host struct {
	*apptest.Host
	id       kith.ID
	name     string
	accounts *apptest.Accounts
	group    []*host

	*Delivery
	boxes *mailbox.Store
}

func (h *host) ID() kith.ID             { return h.id }
func (h *host) Name() kith.Name         { return kith.Name{Host: h.name, Group: "home"} }
func (h *host) Accounts() kith.Accounts { return h.accounts }
func (h *host) Post() kith.Post         { return post{h.Host.Post(), h} }
func (h *host) Log() *slog.Logger       { return slog.New(slog.DiscardHandler) }
func (h *host) Members() (all []kith.Member) {
	for _, m := range h.group {
		names, _ := m.accounts.Names(context.Background())
		all = append(all, kith.Member{ID: m.id, Host: m.name, Accounts: names, Names: m.Names()})
	}
	return all
}

func (h *host) Resolve(name string) (kith.ID, error) {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".kith.alt"), ".home")
	for _, m := range h.group {
		if m.name == name || m.id.String() == name || name == "former-"+m.name {
			return m.id, nil
		}
	}
	return kith.ID{}, kith.NotFound
}

// A post of apptest knows its own members; what it is to be told is who they are here.
type post struct {
	kith.Post
	host *host
}

func (p post) Send(ctx context.Context, tx *sql.Tx, draft kith.Draft) (kith.LetterID, error) {
	i := slices.IndexFunc(p.host.group, func(m *host) bool { return m.id == draft.To })
	if i < 0 || draft.To == p.host.id {
		return kith.LetterID{}, kith.NotFound
	}
	draft.To = kith.ID{2}
	return p.Post.Send(ctx, tx, draft)
}

// newGroup makes hosts called maple, oak, ... with an account each.
func newGroup(t testing.TB, accounts ...string) []*host {
	t.Helper()
	var group []*host
	for i, account := range accounts {
		h := &host{Host: apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")}), id: kith.ID{byte(i + 1)},
			name: []string{"maple", "oak", "elm"}[i], accounts: new(apptest.Accounts)}
		h.accounts.Add(account)
		h.boxes = mailbox.New(mailbox.Config{Store: h.Store(), Blobs: h.Blobs(), Log: h.Log(), Limits: mailbox.Limits{Bytes: 100_000}})
		h.Delivery = New(Config{Host: h, Mailboxes: h.boxes, Book: address.New(h)})
		group = append(group, h)
	}
	for _, h := range group {
		h.group = group
	}
	return group
}

const plain = "From: Ann <ann@maple.home.kith.alt>\r\nTo: bob@oak\r\nSubject: Hello\r\n\r\nHow are you?\r\n"

// submit sends a message as ann.
func (h *host) submit(t testing.TB, text string, to ...string) error {
	t.Helper()
	s := Submission{Account: "ann", Sender: "ann@maple", Client: "laptop ([127.0.0.1])", Protocol: "ESMTPSA", Message: strings.NewReader(text)}
	for _, text := range to {
		s.Recipients = append(s.Recipients, Recipient{Address: text})
	}
	return h.Submit(t.Context(), s)
}

// carry brings a host's letters to another one, and returns what became of the last.
func (h *host) carry(t testing.TB, to *host) (err error) {
	t.Helper()
	for _, l := range h.letters(t) {
		err = to.receive(t, h.id, l.Note, h.open(t, l.Payload.ID))
		state, reason := kith.LetterDelivered, ""
		if err != nil {
			state, reason = kith.LetterRefused, err.Error()
		}
		h.end(t, l, state, reason, to.id)
	}
	return err
}

// letters returns those that have not ended.
func (h *host) letters(t testing.TB) []kith.LetterStatus {
	t.Helper()
	list, err := h.Host.Post().Letters(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, kith.LetterStatus.Ended)
}

func (h *host) end(t testing.TB, l kith.LetterStatus, state, reason string, to kith.ID) {
	t.Helper()
	h.Host.EndLetter(t, l.ID, state, reason)
	l.State, l.Reason, l.To = state, reason, to
	if err := h.Store().Update(t.Context(), func(tx *sql.Tx) error { return h.Ended(t.Context(), tx, l) }); err != nil {
		t.Error(err)
	}
}

func (h *host) receive(t testing.TB, from kith.ID, note, payload []byte) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	blob, err := h.Blobs().Write(ctx, bytes.NewReader(payload), kith.MaxLetter)
	if err != nil {
		t.Fatal(err)
	}
	return h.Store().Update(ctx, func(tx *sql.Tx) error {
		return h.Receive(ctx, tx, kith.Letter{ID: kith.NewLetterID(), From: from, To: h.id, Note: note, Payload: blob})
	})
}

func (h *host) open(t testing.TB, id kith.BlobID) []byte {
	t.Helper()
	r, err := h.Blobs().Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// inbox returns the messages of an account.
func (h *host) inbox(t testing.TB, account string) (texts []string) {
	t.Helper()
	f, err := h.boxes.Folder(t.Context(), account, "INBOX")
	if errors.Is(err, kith.NotFound) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	list, err := h.boxes.Messages(t.Context(), f.ID, mailbox.Range{From: 1, To: imap.UID(1<<32 - 1)}, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		texts = append(texts, string(h.open(t, m.Blob)))
	}
	return texts
}

func TestTwoHosts(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	maple.accounts.Add("eve")
	oak.accounts.Add("carl")
	if err := maple.submit(t, plain, "bob@oak", "carl+x@oak.home.kith.alt", "eve", "ann@maple"); err != nil {
		t.Fatal(err)
	}
	local := maple.inbox(t, "ann")
	if len(local) != 1 || len(maple.inbox(t, "eve")) != 1 || len(maple.letters(t)) != 1 {
		t.Fatalf("at home: %q, %d letters", local, len(maple.letters(t)))
	}
	if err := maple.carry(t, oak); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"bob", "carl"} {
		if got := oak.inbox(t, account); !slices.Equal(got, local) {
			t.Errorf("%s has %q, want %q", account, got, local)
		}
	}
	if got := maple.inbox(t, "ann"); len(got) != 1 {
		t.Errorf("the sender was told %q", got[1:])
	}
	if !regexp.MustCompile(`^Received: from laptop \(\[127\.0\.0\.1\]\)\r\n\tby maple\.home\.kith\.alt with ESMTPSA id \w{12};\r\n\t.{25,31}\r\nDate: .*\r\nMessage-ID: <\w{26}@maple\.home\.kith\.alt>\r\nFrom: Ann`).MatchString(local[0]) ||
		!strings.HasSuffix(local[0], plain) {
		t.Errorf("message is %q", local[0])
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, text string
		to         []string
		status     string
		told       string // to ann
	}{
		{"plain", plain, []string{"bob@oak"}, "", ""},
		{"nobody", plain, []string{"nobody"}, "5.1.1", ""},
		{"one of two", plain, []string{"nobody", "ann"}, "", "There is no account nobody at maple.home.kith.alt."},
		{"outside", plain, []string{"bob@example.com"}, "5.1.2", ""},
		{"no recipients", plain, nil, "5.5.3", ""},
		{"somebody else's", strings.Replace(plain, "ann@", "eve@", 1), []string{"bob@oak"}, "5.7.1", ""},
		{"resent", "Resent-From: ann@maple\r\n" + strings.Replace(plain, "ann@maple", "bob@oak", 1), []string{"bob@oak"}, "", ""},
		{"broken From", "From: ann at maple\r\n\r\n", []string{"bob@oak"}, "5.6.0", ""},
		{"bare LF", "From: ann@maple\r\n\r\nx\n.\r\n", []string{"bob@oak"}, "5.6.0", ""},
		{"bare CR", "From: ann@maple\r\n\r\nx\r.\r\n", []string{"bob@oak"}, "5.6.0", ""},
		{"CR at the end", "From: ann@maple\r\n\r\nx\r", []string{"bob@oak"}, "5.6.0", ""},
		{"bare LF in the header", "From: ann@maple\n\r\n\r\n", []string{"bob@oak"}, "5.6.0", ""},
		{"long header", "X: " + strings.Repeat("x", maxHeader) + "\r\n\r\n", []string{"bob@oak"}, "5.3.4", ""},
		{"loop", strings.Repeat("Received: from x\r\n", maxHops+1) + plain, []string{"bob@oak"}, "5.4.6", ""},
		{"full", plain + strings.Repeat("0123456789\r\n", 9000), []string{"ann"}, "5.2.2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			maple := newGroup(t, "ann", "bob")[0]
			err := maple.submit(t, c.text, c.to...)
			if why := new(address.Refusal); errors.As(err, &why) && why.Status != c.status || (err != nil) != (c.status != "") {
				t.Errorf("%v, want %s", err, c.status)
			}
			inbox := strings.Join(maple.inbox(t, "ann"), "\n")
			if !strings.Contains(inbox, c.told) || c.told != "" && !strings.Contains(inbox, "Auto-Submitted: auto-replied\r\n") {
				t.Errorf("inbox has %q", inbox)
			}
		})
	}
}

// TestMended has messages that lack something.
func TestMended(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no header", "Hello\r\n", "From: <ann@maple.home.kith.alt>\r\nDate: D\r\nMessage-ID: I\r\n\r\nHello\r\n"},
		{"nothing", "", "From: <ann@maple.home.kith.alt>\r\nDate: D\r\nMessage-ID: I\r\n\r\n"},
		{"Bcc", "From: ann@maple\r\nBcc: eve,\r\n bob@oak\r\nTo: x@oak\r\nbcc: x\r\nDate: 1\r\nMessage-ID: <1>\r\n\r\nbcc: x\r\n", "From: ann@maple\r\nTo: x@oak\r\nDate: 1\r\nMessage-ID: <1>\r\n\r\nbcc: x\r\n"},
		{"no empty line", "From: ann@maple\r\nDate: 1\r\nMessage-ID: <1>\r\nthis is text\r\n", "From: ann@maple\r\nDate: 1\r\nMessage-ID: <1>\r\n\r\nthis is text\r\n"},
	} {
		maple := newGroup(t, "ann")[0]
		if err := maple.submit(t, c.text, "ann"); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := normal(maple.inbox(t, "ann")[0])
		if _, got, _ = strings.Cut(got, "\r\n\tD\r\n"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

var (
	dates = regexp.MustCompile(`\w{3}, \d{1,2} \w{3} \d{4} [\d:]{8} [+-]\d{4}`)
	ids   = regexp.MustCompile(`<[a-z2-7]{26}@maple\.home\.kith\.alt>`)
	words = regexp.MustCompile(`\b[a-z2-7]{26}\b|\b[a-z2-7]{12}\b`)
)

// normal replaces what is new in each message.
func normal(text string) string {
	return words.ReplaceAllString(ids.ReplaceAllString(dates.ReplaceAllString(text, "D"), "I"), "W")
}

// TestNotifications compares with testdata/*.eml.
func TestNotifications(t *testing.T) {
	send := func(t *testing.T, returned string, notify ...string) []*host {
		group := newGroup(t, "ann", "bob")
		err := group[0].Submit(t.Context(), Submission{
			Account: "ann", Sender: "ann@maple", Client: "laptop ([127.0.0.1])", Protocol: "ESMTPSA", ID: "QQ314159", Return: returned,
			Recipients: []Recipient{{Address: "bob+x@oak", Notify: notify, Original: "rfc822;Bob@oak"}}, Message: strings.NewReader(plain),
		})
		if err != nil {
			t.Fatal(err)
		}
		return group
	}
	for _, c := range []struct {
		name, returned, state, reason string
		notify                        []string
	}{
		{"refused", "", kith.LetterRefused, "5.2.2 the mailbox of bob is full: not allowed", nil},
		{"expired", "FULL", kith.LetterExpired, "", nil},
		{"revoked", "HDRS", kith.LetterRefused, "the sender is no member any more", []string{"FAILURE", "DELAY"}},
		{"delivered", "FULL", kith.LetterDelivered, "", []string{"SUCCESS"}},
		{"never", "", kith.LetterRefused, "x", []string{"NEVER"}},
		{"silent", "", kith.LetterDelivered, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			group := send(t, c.returned, c.notify...)
			maple := group[0]
			l := maple.letters(t)[0]
			maple.end(t, l, c.state, c.reason, group[1].id)
			got := normal(strings.Join(maple.inbox(t, "ann"), "\n"))
			path := "testdata/" + c.name + ".eml"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s, want\n%s", got, want)
			}
			l.State, l.Late = kith.LetterDelivered, true
			if err := maple.Store().Update(t.Context(), func(tx *sql.Tx) error { return maple.Ended(t.Context(), tx, l) }); err != nil {
				t.Errorf("ended again: %v", err)
			}
		})
	}
}

// TestLate has a letter arrive after its sender was told that it had expired: what others keep of the message stays.
func TestLate(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	if err := maple.submit(t, plain, "bob@oak", "ann"); err != nil {
		t.Fatal(err)
	}
	l := maple.letters(t)[0]
	maple.end(t, l, kith.LetterExpired, "", oak.id)
	l.Late = true
	maple.end(t, l, kith.LetterDelivered, "", oak.id)
	if got := maple.inbox(t, "ann"); len(got) != 2 || !strings.HasSuffix(got[0], plain) {
		t.Errorf("ann has %q", got)
	}
}

// TestFullSender has a sender whose mailbox is full be told.
func TestFullSender(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	for maple.submit(t, plain+strings.Repeat("0123456789\r\n", 100), "ann") == nil {
	}
	before := len(maple.inbox(t, "ann"))
	if err := maple.submit(t, plain, "bob@oak"); err != nil {
		t.Fatal(err)
	}
	maple.end(t, maple.letters(t)[0], kith.LetterExpired, "", oak.id)
	if got := maple.inbox(t, "ann"); len(got) != before+1 || !strings.Contains(got[before], "was not there in time") {
		t.Errorf("ann has %d messages more", len(got)-before)
	}
}

// TestNoticeForwarded has a notification go to an account that forwards, and keeps no copies.
func TestNoticeForwarded(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	maple.set(t, "ann", Settings{Forward: "bob@oak"})
	note := noteOf(t, Envelope{Recipients: []Recipient{{Address: "ann"}}})
	if err := maple.receive(t, oak.id, note, []byte("From: postmaster@oak\r\nSubject: Not delivered\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	if n := len(maple.inbox(t, "ann")); n != 1 || len(maple.letters(t)) != 1 {
		t.Errorf("%d messages, %d letters", n, len(maple.letters(t)))
	}
}

// TestRelayed has a sender ask what becomes of two recipients on a host, of whom that host takes the message for one.
func TestRelayed(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	oak.accounts.Add("eve")
	want := []string{"SUCCESS", "FAILURE"}
	s := Submission{Account: "ann", Sender: "ann@maple", Message: strings.NewReader(plain), Recipients: []Recipient{{Address: "bob@oak", Notify: want}, {Address: "eve@oak", Notify: want}}}
	if err := maple.Submit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := maple.carry(t, oak); err != nil {
		t.Fatal(err)
	}
	got := maple.inbox(t, "ann")
	if len(got) != 1 || strings.Count(got[0], "Action: relayed\r\nStatus: 2.0.0\r\n") != 2 {
		t.Errorf("ann has %q", got)
	}
}

// TestForged has a host say what it must not.
func TestForged(t *testing.T) {
	message := func(from string) string { return "From: " + from + "\r\n\r\nx\r\n" }
	for _, c := range []struct {
		name, sender, to, text string
		kind                   error
	}{
		{"right", "ann@maple.home.kith.alt", "bob", message("ann@maple.home.kith.alt"), nil},
		{"former name", "ann@former-maple.home.kith.alt", "bob", message("ann@former-maple.home.kith.alt"), nil},
		{"by ID", "ann@" + kith.ID{1}.String() + ".kith.alt", "bob", message("ann@maple"), nil},
		{"notification", "", "bob", message("postmaster@maple"), nil},
		{"list", "ann@maple", "bob", "List-Id: <x>\r\n" + message("eve@elm"), kith.Invalid},
		{"two authors", "ann@maple", "bob", message("ann@maple, eve@elm"), kith.Invalid},
		{"Sender of another", "ann@maple", "bob", "Sender: eve@elm\r\n" + message("ann@maple"), kith.Invalid},
		{"forward", "ann@maple", "bob", "Delivered-To: ann@maple\r\n" + message("eve@elm"), kith.Invalid},
		{"resent", "ann@maple", "bob", "Resent-From: ann@maple\r\n" + message("eve@elm"), kith.Invalid},
		{"domain of ours", "ann@maple", "bob@elm", message("ann@maple"), nil},
		{"sender of another", "eve@elm", "bob", message("ann@maple"), kith.Invalid},
		{"our sender", "bob@oak", "bob", message("ann@maple"), kith.Invalid},
		{"bare sender", "ann", "bob", message("ann@maple"), kith.Invalid},
		{"outside", "ann@example.com", "bob", message("ann@maple"), kith.Invalid},
		{"author of another", "ann@maple", "bob", message("bob@oak"), kith.Invalid},
		{"author of another behind many fields", "ann@maple", "bob", "From: ann@maple\r\n" + strings.Repeat("X: y\r\n", 1000) + message("bob@oak"), kith.Invalid},
		{"notification of another", "", "bob", message("postmaster@elm"), kith.Invalid},
		{"two From", "ann@maple", "bob", "From: ann@maple\r\n" + message("eve@elm"), kith.Invalid},
		{"no author", "ann@maple", "bob", "\r\nx\r\n", kith.Invalid},
		{"nobody", "ann@maple", "nobody", message("ann@maple"), kith.NotFound},
		{"everybody", "ann@maple", "all", message("ann@maple"), kith.NotFound},
		{"loop", "ann@maple", "bob", strings.Repeat("Received: x\r\n", 26) + message("ann@maple"), kith.Invalid},
		{"no address", "ann@maple", "b\x00b", message("ann@maple"), kith.Invalid},
	} {
		oak := newGroup(t, "ann", "bob", "eve")[1]
		note := noteOf(t, Envelope{Sender: c.sender, Recipients: []Recipient{{Address: c.to}}})
		if err := oak.receive(t, kith.ID{1}, note, []byte(c.text)); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
		want := 0
		if c.kind == nil {
			want = 1
		}
		if got := oak.inbox(t, "bob"); len(got) != want || want > 0 && got[0] != c.text {
			t.Errorf("%s: %q", c.name, got)
		}
		if n := len(oak.letters(t)); n > 0 {
			t.Errorf("%s: %d letters back", c.name, n)
		}
	}
}

// TestSomeUnknown has one of two recipients unknown at the other host, which says so.
func TestSomeUnknown(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	note := noteOf(t, Envelope{Sender: "ann@maple", Recipients: []Recipient{{Address: "bob"}, {Address: "gone"}}})
	if err := oak.receive(t, maple.id, note, []byte(plain)); err != nil {
		t.Fatal(err)
	}
	oak.group[0], oak.group[1] = oak.group[1], oak.group[0] // apptest's letters all go to ID 2
	if err := oak.carry(t, maple); err != nil {
		t.Fatal(err)
	}
	told := strings.Join(maple.inbox(t, "ann"), "")
	if len(oak.inbox(t, "bob")) != 1 || !strings.Contains(told, "Status: 5.1.1\r\n") || !strings.Contains(told, "Final-Recipient: rfc822; gone@oak.home.kith.alt\r\n") {
		t.Errorf("told %q", told)
	}
	if n := len(maple.letters(t)); n > 0 {
		t.Errorf("%d letters in answer", n)
	}
}

// TestTwoFrom has a message with another author behind the one that is checked.
func TestTwoFrom(t *testing.T) {
	maple := newGroup(t, "ann")[0]
	if err := maple.submit(t, "From: ann@maple\r\nFrom: eve@elm\r\n\r\nx\r\n", "ann"); !errors.Is(err, kith.Invalid) {
		t.Errorf("two From: %v", err)
	}
	for _, text := range []string{"From: ann@maple\r\nSender: eve@elm\r\n\r\nx\r\n", "Sender: eve@elm\r\n\r\nx\r\n", "From: x@elm\r\nResent-From: ann@maple\r\nResent-Sender: eve@elm\r\n\r\nx\r\n"} {
		if err := maple.submit(t, text, "ann"); !errors.Is(err, kith.Denied) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := maple.submit(t, "From: ann@maple\r\nSender: ann@maple\r\n\r\nx\r\n", "ann"); err != nil {
		t.Errorf("her own Sender: %v", err)
	}
}

// TestLargeForward has a large message be forwarded, and refused: the account that forwards has all of it.
func TestLargeForward(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	maple.accounts.Add("eve")
	maple.boxes = mailbox.New(mailbox.Config{Store: maple.Store(), Blobs: maple.Blobs(), Log: maple.Log()})
	maple.Delivery = New(Config{Host: maple, Mailboxes: maple.boxes, Book: address.New(maple)})
	if _, err := maple.ChangeSettings(t.Context(), "eve", func(s *Settings) { s.Forward = "bob@oak" }); err != nil {
		t.Fatal(err)
	}
	if err := maple.submit(t, plain+strings.Repeat("0123456789\r\n", 1<<20)+"The end\r\n", "eve"); err != nil {
		t.Fatal(err)
	}
	for _, l := range maple.letters(t) {
		maple.end(t, l, kith.LetterRefused, "5.2.2 full", oak.id)
	}
	if told := strings.Join(maple.inbox(t, "eve"), ""); !strings.Contains(told, "The end\r\n") {
		t.Errorf("eve has %d bytes without the end", len(told))
	}
}

// TestSuccessHere has a sender ask to be told of success, of a mailbox on his own host.
func TestSuccessHere(t *testing.T) {
	maple := newGroup(t, "ann")[0]
	maple.accounts.Add("bob")
	for _, notify := range []string{"SUCCESS", "FAILURE", "NEVER"} {
		before := len(maple.inbox(t, "ann"))
		err := maple.Submit(t.Context(), Submission{Account: "ann", Sender: "ann@maple", ID: "x1", Message: strings.NewReader(plain),
			Recipients: []Recipient{{Address: "bob@maple", Notify: []string{notify}, Original: "rfc822;bob@maple"}}})
		if err != nil {
			t.Fatal(err)
		}
		told := maple.inbox(t, "ann")[before:]
		if notify != "SUCCESS" && len(told) > 0 {
			t.Errorf("%s: told %q", notify, told)
		}
		want := "Final-Recipient: rfc822; bob@maple\r\nAction: delivered\r\nStatus: 2.1.5\r\n"
		if notify == "SUCCESS" && (len(told) != 1 || !strings.Contains(told[0], want) || !strings.Contains(told[0], "Original-Envelope-Id: x1\r\n")) {
			t.Errorf("%s: told %q", notify, told)
		}
	}
}

// TestDetails has recipients whose names and details are the same letters.
func TestDetails(t *testing.T) {
	maple := newGroup(t, "ann")[0]
	maple.accounts.Add("anna")
	if err := maple.submit(t, plain, "ann+a", "anna", "ann+a@maple"); err != nil {
		t.Fatal(err)
	}
	if ann, anna := maple.inbox(t, "ann"), maple.inbox(t, "anna"); len(ann) != 1 || len(anna) != 1 {
		t.Errorf("ann has %d messages, anna %d", len(ann), len(anna))
	}
}

func TestFullThere(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	if err := maple.submit(t, plain+strings.Repeat("0123456789\r\n", 9000), "bob@oak"); err != nil {
		t.Fatal(err)
	}
	if err := maple.carry(t, oak); !errors.Is(err, kith.Denied) {
		t.Errorf("full: %v", err)
	}
	if told := strings.Join(maple.inbox(t, "ann"), ""); !strings.Contains(told, "Status: 5.2.2\r\nDiagnostic-Code: x-kith; the mailbox of bob is full\r\n") {
		t.Errorf("told %q", told)
	}
}

// TestFullBehindForward has a forward and a list go to a mailbox that is full.
func TestFullBehindForward(t *testing.T) {
	for _, keep := range []bool{false, true} {
		maple := newGroup(t, "ann")[0]
		for _, name := range []string{"bob", "eve"} {
			maple.accounts.Add(name)
		}
		ctx := t.Context()
		_, err := maple.ChangeSettings(ctx, "bob", func(s *Settings) { s.Forward, s.Keep = "eve@maple", keep })
		for _, err := range []error{err, maple.book.AddList(ctx, "film", "ann"), maple.book.Join(ctx, "film", "eve")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		large := plain + strings.Repeat("0123456789\r\n", 5000)
		if err := maple.submit(t, large, "eve"); err != nil {
			t.Fatal(err)
		}
		if err := maple.submit(t, large, "bob"); err != nil {
			t.Fatal(err)
		}
		if bob, eve := maple.inbox(t, "bob"), maple.inbox(t, "eve"); len(bob) != 1 || len(eve) != 1 {
			t.Errorf("keep %v: bob has %d messages, eve %d", keep, len(bob), len(eve))
		}
		if err := maple.submit(t, large, "film"); err != nil {
			t.Fatal(err)
		}
		if told := maple.inbox(t, "ann"); len(told) != 1 || !strings.Contains(told[0], "Status: 5.2.2\r\n") {
			t.Errorf("the owner of the list is told %q", told)
		}
		if err := maple.submit(t, large, "bob"); err == nil {
			t.Errorf("keep %v: neither bob nor eve has room, and the message was taken", keep)
		}
	}
}

func TestList(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	ctx := t.Context()
	for _, err := range []error{
		maple.book.AddList(ctx, "film", "ann"), maple.book.Join(ctx, "film", "bob@oak"), maple.book.Join(ctx, "film", "ann"), maple.book.Join(ctx, "film", "film"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := maple.submit(t, plain, "film@maple"); err != nil {
		t.Fatal(err)
	}
	if err := maple.carry(t, oak); err != nil {
		t.Fatal(err)
	}
	at, home := oak.inbox(t, "bob"), maple.inbox(t, "ann")
	if len(at) != 1 || len(home) != 1 || at[0] != home[0] || !strings.Contains(at[0], "\r\nList-Id: <film.maple.home.kith.alt>\r\n") {
		t.Errorf("bob has %q, ann %q", at, home)
	}
	if err := maple.submit(t, at[0], "film"); err == nil {
		t.Error("it was on the list twice")
	}

	// One on another host writes to the list, whose name its host tells.
	text := strings.Replace(plain, "Ann <ann@maple.home.kith.alt>", "Bob <bob@oak.home.kith.alt>", 1)
	err := oak.Submit(ctx, Submission{Account: "bob", Sender: "bob@oak", Recipients: []Recipient{{Address: "film@maple"}}, Message: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{oak.carry(t, maple), maple.carry(t, oak)} {
		if err != nil {
			t.Error(err)
		}
	}
	at, home = oak.inbox(t, "bob"), maple.inbox(t, "ann")
	if len(at) != 2 || len(home) != 2 || at[1] != home[1] {
		t.Fatalf("bob has %q, ann %q", at, home)
	}
	for _, line := range []string{
		"\r\nFrom: \"Bob via film\" <film@maple.home.kith.alt>\r\n", "\r\nReply-To: Bob <bob@oak.home.kith.alt>\r\n", "\r\nOriginal-From: Bob <bob@oak.home.kith.alt>\r\n",
	} {
		if strings.Count(at[1], line) != 1 || strings.Contains(at[1], "\r\nFrom: Bob") {
			t.Errorf("bob has %q without %q", at[1], line)
		}
	}
}

// TestInTheNameOf has headers of others' messages.
func TestInTheNameOf(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"plain", "To: x\r\nFrom: Bob <bob@oak>\r\nSubject: y\r\n",
			"From: \"Bob via eve\" <eve@maple>\r\nReply-To: Bob <bob@oak>\r\nOriginal-From: Bob <bob@oak>\r\nTo: x\r\nSubject: y\r\n"},
		{"folded, with a Sender", "FROM : Bob\r\n <bob@oak>\r\nSender: x@oak\r\n y\r\nTo: x\r\n",
			"From: \"Bob via eve\" <eve@maple>\r\nReply-To: Bob\r\n <bob@oak>\r\nOriginal-From: Bob\r\n <bob@oak>\r\nTo: x\r\n"},
		{"answers go elsewhere, the second time", "From: \"Bob via film\" <film@elm>\r\nReply-To: b@oak\r\nOriginal-From: bob@oak\r\n",
			"From: \"Bob via film via eve\" <eve@maple>\r\nReply-To: b@oak\r\nOriginal-From: bob@oak\r\n"},
		{"no name", "From: bob@oak\r\nReply-To: x@oak\r\n", "From: \"bob@oak via eve\" <eve@maple>\r\nOriginal-From: bob@oak\r\nReply-To: x@oak\r\n"},
		{"other letters", "From: =?windows-1251?Q?=C1=EE=E1?= <bob@oak>\r\nReply-To: x\r\n",
			"From: =?utf-8?q?=D0=91=D0=BE=D0=B1_via_eve?= <eve@maple>\r\nOriginal-From: =?windows-1251?Q?=C1=EE=E1?= <bob@oak>\r\nReply-To: x\r\n"},
		{"no address", "From: Bob\r\nReply-To: x\r\n", "From: \"Bob via eve\" <eve@maple>\r\nOriginal-From: Bob\r\nReply-To: x\r\n"},
		{"none", "To: x\r\n", "From: \"nobody via eve\" <eve@maple>\r\nTo: x\r\n"},
	} {
		got := string(inTheNameOf("eve@maple", []byte(c.header), message.ParseHeader([]byte(c.header))))
		if got != c.want {
			t.Errorf("%s:\n%q, want\n%q", c.name, got, c.want)
		}
	}
}

// TestResent has a program send a message of others again (mutt: bounce-message).
func TestResent(t *testing.T) {
	group := newGroup(t, "ann", "bob", "eve")
	maple, oak := group[0], group[1]
	for from, want := range map[string]string{
		"Carl <carl@elm>": `From: "Carl via ann" <ann@maple.home.kith.alt>`,
		"eve@maple":       `From: "eve@maple via ann" <ann@maple.home.kith.alt>`, // of the same host, and not of the same person
		"ann@maple":       "From: ann@maple",
	} {
		if err := maple.submit(t, "Resent-From: ann@maple\r\nFrom: "+from+"\r\nSubject: "+from+"\r\n\r\nx\r\n", "bob@oak"); err != nil {
			t.Fatal(err)
		}
		if err := maple.carry(t, oak); err != nil {
			t.Fatal(err)
		}
		got := oak.inbox(t, "bob")
		if last := got[len(got)-1]; strings.Count(last, "\r\nFrom:") != 1 || !strings.Contains(last, "\r\n"+want+"\r\n") {
			t.Errorf("bob has %q, want %s", last, want)
		}
	}
}

func noteOf(t testing.TB, e Envelope) []byte {
	t.Helper()
	note, err := e.note()
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// TestEarlierLetters has a letter of an earlier version come, which has the envelope before the message.
func TestEarlierLetters(t *testing.T) {
	oak := newGroup(t, "ann", "bob")[1]
	note := noteOf(t, Envelope{Sender: "ann@maple", Recipients: []Recipient{{Address: "bob"}}})
	payload := binary.BigEndian.AppendUint32([]byte{earlierVersion}, uint32(len(note)))
	if err := oak.receive(t, kith.ID{1}, nil, append(append(payload, note...), plain...)); err != nil {
		t.Fatal(err)
	}
	if got := oak.inbox(t, "bob"); len(got) != 1 || got[0] != plain {
		t.Errorf("bob has %q", got)
	}
}

// TestLongestNote has as many recipients in a letter as may be, with all that a program may say of each.
func TestLongestNote(t *testing.T) {
	e := Envelope{Sender: strings.Repeat("\"", 320), Return: "FULL", ID: strings.Repeat("\"", maxEnvelopeID)}
	for range maxInALetter {
		e.Recipients = append(e.Recipients, Recipient{Address: strings.Repeat("\"", 320), Original: strings.Repeat("<", 250) + strings.Repeat("\"", 250), Notify: []string{"SUCCESS", "FAILURE", "DELAY"}})
	}
	if note := noteOf(t, e); len(note) > kith.MaxNote {
		t.Errorf("%d bytes", len(note))
	} else if _, err := parseEnvelope(note); err != nil {
		t.Error(err)
	}
}

// TestOneBlob: a message to many hosts is on the disk once, for its letters and the folder Sent.
func TestOneBlob(t *testing.T) {
	group := newGroup(t, "ann", "bob", "cid")
	maple := group[0]
	text := plain + strings.Repeat("More of it.\r\n", 4000)
	err := maple.Submit(t.Context(), Submission{Account: "ann", Sender: "ann@maple", KeepSent: true, Message: strings.NewReader(text),
		Recipients: []Recipient{{Address: "bob@oak"}, {Address: "cid@elm"}}})
	if err != nil {
		t.Fatal(err)
	}
	blobs := make(map[kith.BlobID]bool)
	for _, l := range maple.letters(t) {
		blobs[l.Payload.ID] = true
	}
	sent, err := maple.boxes.Folder(t.Context(), "ann", mailbox.Sent)
	if err != nil {
		t.Fatal(err)
	}
	list, err := maple.boxes.Messages(t.Context(), sent.ID, mailbox.Range{From: 1, To: 100}, 100, true)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d messages in Sent, %v", len(list), err)
	}
	blobs[list[0].Blob] = true
	if n := len(maple.letters(t)); len(blobs) != 1 || n != 2 {
		t.Errorf("%d letters and the folder Sent have %d blobs", n, len(blobs))
	}
}

// FuzzLetter has another host send anything.
func FuzzLetter(f *testing.F) {
	note := func(e Envelope) []byte { return noteOf(f, e) }
	f.Add(note(Envelope{Sender: "ann@maple", Recipients: []Recipient{{Address: "bob"}}}), []byte(plain))
	f.Add(note(Envelope{Sender: "ann@maple", ID: "x", Return: "FULL", Recipients: []Recipient{{Address: "bob"}, {Address: "x", Notify: []string{"NEVER"}}}}), []byte(plain))
	f.Add([]byte("{}"), []byte(plain))
	f.Add([]byte{}, []byte("\x01\x00\x00\x00\x02{}"))
	f.Add([]byte{}, []byte("\x01\xff\xff\xff\xff{}"))
	f.Add([]byte{}, []byte("\x02"))
	oak := newGroup(f, "ann", "bob")[1]
	f.Fuzz(func(t *testing.T, note, data []byte) {
		before := len(oak.inbox(t, "bob"))
		err := oak.receive(t, kith.ID{1}, note, data)
		if err != nil && !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.NotFound) && !errors.Is(err, kith.Denied) {
			t.Errorf("%q, %q: %v", note, data, err)
		}
		if err != nil && len(oak.inbox(t, "bob")) != before {
			t.Errorf("%q, %q: refused and delivered", note, data)
		}
	})
}

func BenchmarkSubmit(b *testing.B) {
	text := plain + strings.Repeat(fmt.Sprintf("%62d\r\n", 0), 62)
	for _, senders := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) {
			maple := newGroup(b, "ann", "bob")[0]
			b.SetParallelism(senders)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := maple.submit(b, text, "bob@oak"); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
