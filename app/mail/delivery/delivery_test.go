package delivery

import (
	"bytes"
	"context"
	"database/sql"
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
		all = append(all, kith.Member{ID: m.id, Host: m.name, Accounts: names})
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
		err = to.receive(t, h.id, h.open(t, l.Payload.ID))
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

func (h *host) receive(t testing.TB, from kith.ID, payload []byte) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	blob, err := h.Blobs().Write(ctx, bytes.NewReader(payload), kith.MaxLetter)
	if err != nil {
		t.Fatal(err)
	}
	return h.Store().Update(ctx, func(tx *sql.Tx) error {
		return h.Receive(ctx, tx, kith.Letter{ID: kith.NewLetterID(), From: from, To: h.id, Payload: blob})
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
		{"one of two", plain, []string{"nobody", "ann"}, "", "Maple.home.kith.alt has no account nobody."},
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
			l.State = kith.LetterDelivered
			if err := maple.Store().Update(t.Context(), func(tx *sql.Tx) error { return maple.Ended(t.Context(), tx, l) }); err != nil {
				t.Errorf("ended again: %v", err)
			}
		})
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
		{"list", "ann@maple", "bob", "List-Id: <x>\r\n" + message("eve@elm"), nil},
		{"resent", "ann@maple", "bob", "Resent-From: ann@maple\r\n" + message("eve@elm"), nil},
		{"domain of ours", "ann@maple", "bob@elm", message("ann@maple"), nil},
		{"sender of another", "eve@elm", "bob", message("ann@maple"), kith.Invalid},
		{"our sender", "bob@oak", "bob", message("ann@maple"), kith.Invalid},
		{"bare sender", "ann", "bob", message("ann@maple"), kith.Invalid},
		{"outside", "ann@example.com", "bob", message("ann@maple"), kith.Invalid},
		{"author of another", "ann@maple", "bob", message("bob@oak"), kith.Invalid},
		{"notification of another", "", "bob", message("postmaster@elm"), kith.Invalid},
		{"no author", "ann@maple", "bob", "\r\nx\r\n", kith.Invalid},
		{"nobody", "ann@maple", "nobody", message("ann@maple"), kith.NotFound},
		{"everybody", "ann@maple", "all", message("ann@maple"), kith.NotFound},
		{"loop", "ann@maple", "bob", strings.Repeat("Received: x\r\n", 26) + message("ann@maple"), kith.Invalid},
		{"no address", "ann@maple", "b\x00b", message("ann@maple"), kith.Invalid},
	} {
		oak := newGroup(t, "ann", "bob", "eve")[1]
		payload, err := (&Envelope{Sender: c.sender, Recipients: []Recipient{{Address: c.to}}}).payload(strings.NewReader(c.text))
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(payload)
		if err := oak.receive(t, kith.ID{1}, data); !errors.Is(err, c.kind) {
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
	payload, err := (&Envelope{Sender: "ann@maple", Recipients: []Recipient{{Address: "bob"}, {Address: "gone"}}}).payload(strings.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := io.ReadAll(payload)
	if err := oak.receive(t, maple.id, data); err != nil {
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
}

// FuzzLetter has another host send anything.
func FuzzLetter(f *testing.F) {
	payload := func(e Envelope, text string) []byte {
		r, err := e.payload(strings.NewReader(text))
		if err != nil {
			f.Fatal(err)
		}
		data, _ := io.ReadAll(r)
		return data
	}
	f.Add(payload(Envelope{Sender: "ann@maple", Recipients: []Recipient{{Address: "bob"}}}, plain))
	f.Add(payload(Envelope{Sender: "ann@maple", ID: "x", Return: "FULL", Recipients: []Recipient{{Address: "bob"}, {Address: "x", Notify: []string{"NEVER"}}}}, plain))
	f.Add([]byte("\x01\x00\x00\x00\x02{}"))
	f.Add([]byte("\x01\xff\xff\xff\xff{}"))
	f.Add([]byte("\x02"))
	oak := newGroup(f, "ann", "bob")[1]
	f.Fuzz(func(t *testing.T, data []byte) {
		before := len(oak.inbox(t, "bob"))
		err := oak.receive(t, kith.ID{1}, data)
		if err != nil && !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.NotFound) && !errors.Is(err, kith.Denied) {
			t.Errorf("%q: %v", data, err)
		}
		if err != nil && len(oak.inbox(t, "bob")) != before {
			t.Errorf("%q: refused and delivered", data)
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
