package mailbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/message"
	"kith.alt/kith/kithtest/apptest"
)

// reply is a message with an ID that names others.
func reply(id, subject string, parents ...string) string {
	text := "From: Bob <bob@oak.home.kith.alt>\r\nSubject: " + subject + "\r\nMessage-ID: <" + id + ">\r\n"
	if n := len(parents); n > 0 {
		text += "In-Reply-To: <" + parents[n-1] + ">\r\nReferences: <" + strings.Join(parents, ">\r\n <") + ">\r\n"
	}
	return text + "\r\n> quoted\r\n\r\nThis is   " + id + ".\r\n"
}

// subjects of all conversations of a folder, in pages of a size.
func conversations(t *testing.T, s *Store, folder string, size int) (list []string) {
	t.Helper()
	f, err := s.Folder(t.Context(), ann, folder)
	if err != nil {
		t.Fatal(err)
	}
	for after := (Cursor{}); ; {
		found, next, err := s.Conversations(t.Context(), f.ID, after, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, all := range found {
			var ids []string
			for _, i := range all {
				text, _, _ := strings.Cut(readAll(t, s, i.Blob), ">\r\n")
				ids = append(ids, text[strings.LastIndex(text, "<")+1:])
			}
			list = append(list, strings.Join(ids, " "))
		}
		if after = next; after == (Cursor{}) {
			return list
		}
	}
}

func readAll(t *testing.T, s *Store, blob kith.BlobID) string {
	t.Helper()
	r, err := s.Open(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, r); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(b.String(), "Message-ID: ")
	return text
}

func TestConversations(t *testing.T) {
	for _, before := range []bool{false, true} { // there were conversations
		s, host := open(t, Limits{})
		add(t, s, Inbox, reply("1", "one"))
		add(t, s, Sent, reply("2", "Re: one", "1"))
		add(t, s, Inbox, reply("a", "another"))
		add(t, s, Inbox, reply("3", "Re: one", "1", "2"))
		add(t, s, Inbox, reply("y", "before its parent", "x"))
		add(t, s, Inbox, reply("z", "before its parent", "w"))
		add(t, s, Archive, reply("x", "the parent", "w"))
		add(t, s, Inbox, "Subject: no name\r\n\r\n")
		add(t, s, Inbox, "Subject: no name\r\n\r\n")
		if before {
			err := host.Store().Update(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), `DELETE FROM mail_threads; UPDATE mail_contents SET thread = -id, files = 0`)
				return err
			})
			if err := errors.Join(err, s.threadAll(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"", "", "y z x", "1 2 3", "a"}
		for size := 1; size < 7; size++ {
			if got := conversations(t, s, Inbox, size); len(got) != 5 || !slices.Contains(got, "1 2 3") || !slices.Contains(got, "y z x") || !slices.Contains(got, "a") {
				t.Errorf("before %v, in pages of %d: %q, want %q", before, size, got, want)
			}
		}
		if got := conversations(t, s, Sent, 10); !slices.Equal(got, []string{"1 2 3"}) {
			t.Errorf("sent: %q", got)
		}
	}
}

func TestConversationsOfOthers(t *testing.T) {
	s, host := open(t, Limits{})
	host.Accounts().(*apptest.Accounts).Add("bob")
	if err := s.Prepare(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	add(t, s, Inbox, reply("1", "one"))
	b, err := s.Write(t.Context(), strings.NewReader(reply("2", "Re: one", "1")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "bob", Inbox, Delivery{Blob: b}); err != nil {
		t.Fatal(err)
	}
	for content, owner := range map[int64]string{1: ann, 2: "bob"} {
		for _, account := range []string{ann, "bob", "nobody"} {
			all, err := s.Conversation(t.Context(), account, content)
			if account == owner && (err != nil || len(all) != 1) || account != owner && !errors.Is(err, kith.NotFound) {
				t.Errorf("%s asks for %d: %d, %v", account, content, len(all), err)
			}
			if _, err := s.Content(t.Context(), account, content); (err == nil) != (account == owner) {
				t.Errorf("%s asks for content %d: %v", account, content, err)
			}
		}
	}
}

func TestThreadsEnd(t *testing.T) {
	s, host := open(t, Limits{})
	add(t, s, Inbox, reply("1", "one"))
	for n := 2; n < 2*maxThread; n++ {
		add(t, s, Inbox, reply(fmt.Sprint(n), "Re: one", "1"))
	}
	if got := conversations(t, s, Inbox, 10); len(got) != 2 || strings.Count(got[1], " ") != maxThread-1 {
		t.Errorf("%d conversations, %q", len(got), got)
	}
	f, err := s.Folder(t.Context(), ann, Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expunge(t.Context(), f.ID, []Range{{1, 1 << 20}}, true); err != nil {
		t.Fatal(err)
	}
	var left int
	err = host.Store().View(t.Context(), func(tx *sql.Tx) error {
		return tx.QueryRowContext(t.Context(), `SELECT count(*) FROM mail_threads`).Scan(&left)
	})
	if left != 0 || err != nil {
		t.Errorf("%d names are left: %v", left, err)
	}
}

func TestFind(t *testing.T) {
	s, _ := open(t, Limits{})
	add(t, s, Inbox, reply("1", "apples"))
	add(t, s, Archive, reply("2", "apples and pears"), imap.FlagSeen)
	add(t, s, Archive, "Subject: apples\r\nContent-Type: image/png; name=x.png\r\n\r\nx")
	folders, err := s.Folders(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, f := range folders {
		ids = append(ids, f.ID)
	}
	for _, search := range []struct {
		criteria    imap.SearchCriteria
		files       bool
		limit, want int
		more        bool
	}{
		{imap.SearchCriteria{Text: []string{"apples"}}, false, 10, 3, false},
		{imap.SearchCriteria{Text: []string{"apples"}}, false, 2, 2, true},
		{imap.SearchCriteria{Text: []string{"apples"}}, true, 2, 1, false},
		{imap.SearchCriteria{Text: []string{"pears"}, NotFlag: []imap.Flag{imap.FlagSeen}}, false, 2, 0, false},
	} {
		found, more, err := s.Find(t.Context(), ids, &search.criteria, search.files, search.limit)
		if len(found) != search.want || more != search.more || err != nil {
			t.Errorf("%+v: %d, %v, %v", search, len(found), more, err)
		}
		for _, i := range found {
			if i.Files == 0 && i.Snippet != fmt.Sprintf("This is %d.", i.Content) {
				t.Errorf("%d begins with %q", i.Content, i.Snippet)
			}
		}
	}
}

// Mailboxes of the version before have conversations, too.
func TestThreadsOfOldMailboxes(t *testing.T) {
	all := os.DirFS("../migrations")
	names, err := fs.Glob(all, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	old := make(fstest.MapFS)
	for _, name := range names {
		text, err := fs.ReadFile(all, name)
		if err != nil {
			t.Fatal(err)
		}
		if name < "0006" {
			old[name] = &fstest.MapFile{Data: text}
		}
	}
	host := apptest.NewHost(t, kith.App{Name: "mail", Migrations: old})
	err = host.Store().Update(t.Context(), func(tx *sql.Tx) error {
		if err := prepare(t.Context(), tx, ann); err != nil {
			return err
		}
		for i, raw := range []string{reply("1", "one"), "Subject: alone\r\nContent-Type: image/png; name=x.png\r\n\r\nx", reply("2", "Re: one", "1")} {
			blob, err := host.Blobs().Write(t.Context(), strings.NewReader(raw), MaxMessage)
			if err != nil {
				return err
			}
			parsed, err := message.Parse(strings.NewReader(raw))
			if err != nil {
				return err
			}
			summary, err := parsed.MarshalBinary()
			if err != nil {
				return err
			}
			if err := host.Blobs().Keep(t.Context(), tx, blob.ID); err != nil {
				return err
			}
			_, err = tx.ExecContext(t.Context(), `INSERT INTO mail_contents (blob, size, message_id, sent, summary) VALUES (?1, 1, '', 0, ?2);
				INSERT INTO mail_messages (folder, uid, content, flags, modseq, received, zone, size) VALUES (1, ?3, ?3, 0, 1, 1700000000 + ?3, 0, 1)`, blob.ID[:], summary, i+1)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Store().Migrate(t.Context(), "mail", all); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})
	if got := conversations(t, s, Inbox, 10); len(got) != 2 || !slices.Contains(got, "1 2") {
		t.Errorf("%q", got)
	}
	if found, _, err := s.Find(t.Context(), []int64{1}, &imap.SearchCriteria{}, true, 10); err != nil || len(found) != 1 || found[0].UID != 2 {
		t.Errorf("with files: %v, %v", found, err)
	}
}

// BenchmarkConversations opens the first page and one in the middle of a folder of 100,000 messages.
func BenchmarkConversations(b *testing.B) {
	s, host := open(b, Limits{})
	uid := add(b, s, Inbox, reply("first", "one"))
	f, err := s.Folder(b.Context(), ann, Inbox)
	if err != nil {
		b.Fatal(err)
	}
	err = host.Store().Update(b.Context(), func(tx *sql.Tx) error {
		return fill(b.Context(), tx, f.ID, uid, 100_000)
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, after := range map[string]Cursor{"first": {}, "middle": {Received: 50_000 + 1_700_000_000, UID: 50_000}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				list, next, err := s.Conversations(b.Context(), f.ID, after, 50)
				if len(list) != 50 || next == (Cursor{}) || err != nil {
					b.Fatal(len(list), next, err)
				}
			}
		})
	}
}

// fill copies a message many times, three to a conversation.
func fill(ctx context.Context, tx *sql.Tx, folder int64, uid imap.UID, count int) error {
	for _, statement := range []string{
		`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?3)
			INSERT INTO mail_contents (blob, size, message_id, sent, summary, indexed, thread, snippet)
			SELECT c.blob, c.size, 'n' || i, c.sent, c.summary, 1, 1000000 + i / 3, 'first words' FROM n, mail_contents c WHERE ?1 AND ?2 AND c.id = (SELECT min(id) FROM mail_contents)`,
		`INSERT INTO mail_messages (folder, uid, content, flags, modseq, received, zone, size)
			SELECT ?1, id, id, 0, 2, 1700000000 + id, 0, 100 FROM mail_contents WHERE id > ?2 AND ?3`,
	} {
		if _, err := tx.ExecContext(ctx, statement, folder, uid, count); err != nil {
			return err
		}
	}
	return nil
}
