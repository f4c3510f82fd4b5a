package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/apptest"
)

const ann = apptest.Ann

// open returns mailboxes with those of ann, and what they stand on.
func open(t testing.TB, limits Limits) (*Store, *apptest.Host) {
	t.Helper()
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: os.DirFS("../migrations")})
	s := New(Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log(), Limits: limits})
	if err := s.Prepare(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	return s, host
}

// text is a message with a subject and a body.
func text(subject, body string) string {
	return "From: Bob Ross <bob@oak.home.kith.alt>\r\nTo: ann@maple.home.kith.alt\r\nSubject: " + subject +
		"\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\nMessage-ID: <" + subject + "@oak>\r\n\r\n" + body + "\r\n"
}

func add(t testing.TB, s *Store, folder, raw string, flags ...imap.Flag) imap.UID {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b, err := s.Write(ctx, strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	placed, err := s.Append(ctx, ann, folder, Delivery{Blob: b, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return placed.UID
}

func view(t testing.TB, s *Store, folder string) *View {
	t.Helper()
	v, err := s.View(t.Context(), ann, folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestFolders(t *testing.T) {
	s, _ := open(t, Limits{Folders: 12})
	ctx := t.Context()
	names := func() (names []string) {
		folders, err := s.Folders(ctx, ann)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			names = append(names, f.Name)
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}) {
		t.Errorf("an account has %q", got)
	}
	if err := s.Prepare(ctx, ann); err != nil || len(names()) != 6 {
		t.Errorf("again: %v, %q", err, names())
	}
	for _, test := range []struct {
		do   func() error
		want error
	}{
		{func() error { return s.Create(ctx, ann, "Work/2026/May", "") }, nil},
		{func() error { return s.Create(ctx, ann, "Work", "") }, kith.Exists},
		{func() error { return s.Create(ctx, ann, "inbox", "") }, kith.Exists},
		{func() error { return s.Create(ctx, ann, "inbox/below", "") }, nil},
		{func() error { return s.Create(ctx, ann, "a//b", "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, "", "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, "a*", "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, "a\nb", "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, "a\xff", "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, strings.Repeat("a", 300), "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, strings.Repeat("a/", 20)+"a", "") }, kith.Invalid},
		{func() error { return s.Create(ctx, ann, "1/2/3/4/5", "") }, kith.Quota},
		{func() error { return s.Rename(ctx, ann, "Work", "Work/Old") }, kith.Invalid},
		{func() error { return s.Rename(ctx, ann, "None", "Other") }, kith.NotFound},
		{func() error { return s.Rename(ctx, ann, "Work", "Trash") }, kith.Exists},
		{func() error { return s.Rename(ctx, ann, "Work", "Töpfe") }, nil},
		{func() error { _, err := s.Folder(ctx, ann, "To\u0308pfe/2026/May"); return err }, nil},
		{func() error { _, err := s.Delete(ctx, ann, "Inbox"); return err }, kith.Invalid},
		{func() error { _, err := s.Delete(ctx, ann, "Töpfe"); return err }, nil},
		{func() error { _, err := s.Delete(ctx, ann, "Töpfe"); return err }, kith.NotFound},
		{func() error { return s.Subscribe(ctx, ann, "Töpfe", true) }, kith.NotFound},
	} {
		if err := test.do(); !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
	before, err := s.Folder(ctx, ann, "Trash")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(ctx, ann, "Trash"); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, ann, "Trash", ""); err != nil {
		t.Fatal(err)
	}
	if after, err := s.Folder(ctx, ann, "Trash"); err != nil || after.UIDValidity <= before.UIDValidity || after.Use != imap.MailboxAttrTrash {
		t.Errorf("made again: UIDVALIDITY %d after %d, for %q, %v", after.UIDValidity, before.UIDValidity, after.Use, err)
	}
}

// TestDiscard has a folder deleted whose messages are to be kept.
func TestDiscard(t *testing.T) {
	s, _ := open(t, Limits{})
	ctx := t.Context()
	if err := s.Create(ctx, ann, "Old", ""); err != nil {
		t.Fatal(err)
	}
	add(t, s, "Old", text("one", "1"))
	for _, name := range []string{Inbox, Trash} {
		if err := s.Discard(ctx, ann, name); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(s.Rename(ctx, ann, Trash, "Bin"), s.Discard(ctx, ann, "Old")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Folder(ctx, ann, "Old"); !errors.Is(err, kith.NotFound) {
		t.Errorf("the folder: %v", err)
	}
	if f, err := s.Folder(ctx, ann, "Bin"); err != nil || f.Messages != 1 {
		t.Errorf("Trash by another name has %d messages, %v", f.Messages, err)
	}
	if err := s.Discard(ctx, ann, "Bin"); !errors.Is(err, kith.Invalid) {
		t.Errorf("Trash by another name: %v", err)
	}
}

// TestCopies has an account copy a message until it may have no more.
func TestCopies(t *testing.T) {
	raw := text("one", "1")
	s, _ := open(t, Limits{Bytes: 1 << 20})
	ctx := t.Context()
	add(t, s, Inbox, raw)
	v := view(t, s, Inbox)
	all := []Range{{1, 1<<32 - 1}}
	var err error
	for err == nil {
		_, err = s.Transfer(ctx, ann, v.Folder.ID, all, Inbox, false)
	}
	f, failed := s.Folder(ctx, ann, Inbox)
	if !errors.Is(err, kith.Quota) || failed != nil || f.Messages != 2048 {
		t.Errorf("%d messages, %v, %v", f.Messages, err, failed)
	}
	list, _, err := s.Conversations(ctx, v.Folder.ID, Cursor{}, 10)
	if err != nil || len(list) != 1 {
		t.Errorf("%d conversations, %v", len(list), err)
	}
	if _, err := s.Transfer(ctx, ann, v.Folder.ID, all, Trash, true); err != nil {
		t.Errorf("move: %v", err)
	}
}

// TestStandardFolder has a message delivered into Sent where a program has renamed or deleted it.
func TestStandardFolder(t *testing.T) {
	s, host := open(t, Limits{})
	ctx := t.Context()
	deliver := func() (string, imap.MailboxAttr) {
		t.Helper()
		blob, err := s.Write(ctx, strings.NewReader(text("x", "y")))
		if err != nil {
			t.Fatal(err)
		}
		var placed Placed
		if err := host.Store().Update(ctx, func(tx *sql.Tx) (err error) {
			placed, err = s.Deliver(ctx, tx, ann, Sent, Delivery{Blob: blob})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return placed.Folder.Name, placed.Folder.Use
	}
	if err := s.Rename(ctx, ann, Sent, "Sent Items"); err != nil {
		t.Fatal(err)
	}
	if name, _ := deliver(); name != "Sent Items" {
		t.Errorf("renamed: it is in %q", name)
	}
	if _, err := s.Delete(ctx, ann, "Sent Items"); err != nil {
		t.Fatal(err)
	}
	if name, use := deliver(); name != Sent || use != imap.MailboxAttrSent {
		t.Errorf("deleted: it is in %q, %q", name, use)
	}
}

func TestRenameInbox(t *testing.T) {
	s, _ := open(t, Limits{})
	add(t, s, Inbox, text("one", "1"))
	v := view(t, s, Inbox)
	if err := s.Rename(t.Context(), ann, Inbox, "Old/Mail"); err != nil {
		t.Fatal(err)
	}
	if old := view(t, s, "Old/Mail"); old.Count() != 1 || v.Count() != 1 {
		t.Errorf("%d messages are in the new folder", old.Count())
	}
	if changes, err := v.Sync(t.Context(), true); err != nil || !slices.Equal(changes.Expunged, []int{1}) || v.Count() != 0 {
		t.Errorf("INBOX: %+v, %v", changes, err)
	}
}

// TestTwoViews has one client see what another does.
func TestTwoViews(t *testing.T) {
	s, _ := open(t, Limits{})
	ctx := t.Context()
	first := add(t, s, Inbox, text("one", "1"))
	a, b := view(t, s, Inbox), view(t, s, Inbox)
	changed := b.Changed()
	second := add(t, s, Inbox, text("two", "2"))
	select {
	case <-changed:
	default:
		t.Error("nobody is told of a message")
	}
	for _, v := range []*View{a, b} {
		if changes, err := v.Sync(ctx, false); err != nil || changes.Count != 2 || v.UID(2) != second {
			t.Errorf("a new message: %+v, %v", changes, err)
		}
	}
	flags, err := s.SetFlags(ctx, a.Folder.ID, []Range{{first, second}}, imap.StoreFlagsAdd, []imap.Flag{`\seen`, "$Work"})
	if err != nil || len(flags) != 2 {
		t.Fatal(flags, err)
	}
	a.Knows(flags)
	if changes, err := a.Sync(ctx, false); err != nil || len(changes.Flags) != 0 {
		t.Errorf("who changed flags is told %+v, %v", changes, err)
	}
	if changes, err := b.Sync(ctx, false); err != nil || len(changes.Flags) != 2 || !slices.Equal(changes.Flags[1].Flags, []imap.Flag{`\Seen`, "$Work"}) {
		t.Errorf("new flags: %+v, %v", changes, err)
	}
	if n, err := s.Expunge(ctx, a.Folder.ID, []Range{{first, first}}, true); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if changes, err := b.Sync(ctx, false); err != nil || changes.Expunged != nil || b.Count() != 2 {
		t.Errorf("numbers change although they must not: %+v, %v", changes, err)
	}
	if changes, err := b.Sync(ctx, true); err != nil || !slices.Equal(changes.Expunged, []int{1}) || b.Number(second) != 1 {
		t.Errorf("expunged: %+v, %v", changes, err)
	}
	if err := s.Create(ctx, ann, "Short", ""); err != nil {
		t.Fatal(err)
	}
	c := view(t, s, "Short")
	if _, err := s.Delete(ctx, ann, "Short"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sync(ctx, true); !errors.Is(err, kith.NotFound) {
		t.Errorf("a deleted folder: %v", err)
	}
}

// TestDeliver delivers in a transaction of the caller's.
func TestDeliver(t *testing.T) {
	s, host := open(t, Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	v := view(t, s, Inbox)
	blob, err := s.Write(ctx, strings.NewReader(text("hello", "world")))
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(account string, fails error) error {
		return host.Store().Update(ctx, func(tx *sql.Tx) error {
			_, err := s.Deliver(ctx, tx, account, Inbox, Delivery{Blob: blob})
			return errors.Join(err, fails)
		})
	}
	if err := deliver(ann, errors.New("no")); err == nil {
		t.Fatal("it does not fail")
	}
	changed := v.Changed()
	if err := deliver(ann, nil); err != nil {
		t.Fatal(err)
	}
	for v.Count() == 0 {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody is told of a delivery")
		}
		changed = v.Changed()
		if _, err := v.Sync(ctx, true); err != nil {
			t.Fatal(err)
		}
	}
	if v.Count() != 1 || v.UID(1) != 1 {
		t.Errorf("%d messages, UID %d", v.Count(), v.UID(1))
	}
	if err := deliver("new", nil); err != nil { // an account that has never signed in
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	raw := text("one", "1")
	s, _ := open(t, Limits{Bytes: int64(len(raw)) + 10, Messages: 2})
	ctx := t.Context()
	add(t, s, Inbox, raw)
	blob, err := s.Write(ctx, strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	v := view(t, s, Inbox)
	all := []Range{{1, 1<<32 - 1}}
	if _, err := s.Append(ctx, ann, Inbox, Delivery{Blob: blob}); !errors.Is(err, kith.Quota) {
		t.Errorf("append: %v", err)
	}
	if _, err := s.Transfer(ctx, ann, v.Folder.ID, all, Trash, false); !errors.Is(err, kith.Quota) {
		t.Errorf("copy: %v", err)
	}
	if _, err := s.Transfer(ctx, ann, v.Folder.ID, all, Trash, true); err != nil {
		t.Errorf("move: %v", err)
	}
	if _, err := s.Transfer(ctx, ann, v.Folder.ID, all, "None", true); !errors.Is(err, kith.NotFound) {
		t.Errorf("move to nowhere: %v", err)
	}
	var many []imap.Flag
	for i := range maxKeywords + 1 {
		many = append(many, imap.Flag(fmt.Sprint("k", i)))
	}
	for _, test := range []struct {
		flags []imap.Flag
		want  error
	}{{many, kith.Quota}, {[]imap.Flag{`\Made-up`}, kith.Invalid}, {[]imap.Flag{"a b"}, kith.Invalid}, {[]imap.Flag{imap.Flag(strings.Repeat("x", 100))}, kith.Invalid}} {
		if _, err := s.SetFlags(ctx, v.Folder.ID, all, imap.StoreFlagsAdd, test.flags); !errors.Is(err, test.want) {
			t.Errorf("%.3q: %v, want %v", test.flags, err, test.want)
		}
	}
}

// TestBlobsGo has the bytes of a message go with its last copy.
func TestBlobsGo(t *testing.T) {
	s, host := open(t, Limits{})
	add(t, s, Inbox, text("large", strings.Repeat("x", 30<<10)))
	v := view(t, s, Inbox)
	all := []Range{{1, 1<<32 - 1}}
	copied, err := s.Transfer(t.Context(), ann, v.Folder.ID, all, Trash, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Search(t.Context(), v.Folder.ID, v, &imap.SearchCriteria{Text: []string{"words"}}); err != nil { // so that it is indexed
		t.Fatal(err)
	}
	count := func(table string) (n int) {
		if err := host.Store().View(t.Context(), func(tx *sql.Tx) error {
			return tx.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count("mail_words"); n != 1 {
		t.Errorf("%d are indexed", n)
	}
	for i, folder := range []int64{v.Folder.ID, copied.Folder.ID} {
		if n, err := s.Expunge(t.Context(), folder, all, true); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		want := 1 - i
		if c, w, b := count("mail_contents"), count("mail_words"), count("blob_kept"); c != want || w != want || b != want {
			t.Errorf("%d copies later there are %d contents, %d indexed, %d blobs", i+1, c, w, b)
		}
	}
}

// TestRestored renews the UIDVALIDITY of all folders once for each restore.
func TestRestored(t *testing.T) {
	s, _ := open(t, Limits{})
	validities := func() (list []uint32) {
		folders, err := s.Folders(t.Context(), ann)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			list = append(list, f.UIDValidity)
		}
		return list
	}
	first := validities()
	for count, changed := range []bool{false, true, true} {
		for again := range 2 {
			if err := s.Restored(t.Context(), count); err != nil {
				t.Fatal(err)
			}
			now := validities()
			for i := range now {
				if want := changed && again == 0; (now[i] > first[i]) != want {
					t.Errorf("after %d restores, start %d: UIDVALIDITY %d was %d", count, again+1, now[i], first[i])
				}
			}
			first = now
		}
	}
}
