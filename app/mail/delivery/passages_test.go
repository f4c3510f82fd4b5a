package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
)

// TestPassages follows a message that goes to two hosts, and to a list that has people on both.
func TestPassages(t *testing.T) {
	group := newGroup(t, "ann", "bob", "cid")
	maple, oak, elm := group[0], group[1], group[2]
	if err := maple.book.AddList(t.Context(), "film", "ann"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"bob@oak", "cid@elm"} {
		if err := maple.book.Join(t.Context(), "film", to); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(plain, "Subject:", "Message-ID: <one@maple>\r\nSubject:", 1)
	if err := maple.submit(t, text, "bob@oak", "cid@elm", "film@maple"); err != nil {
		t.Fatal(err)
	}
	ways := func(account, id string) (list []string) {
		t.Helper()
		passages, err := maple.Passages(t.Context(), account, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range passages {
			list = append(list, fmt.Sprintf("%s %s %s", p.Host, strings.Join(p.Recipients, ","), p.Status.State))
		}
		slices.Sort(list)
		return list
	}
	oaks, elms := "oak.home.kith.alt bob@oak.home.kith.alt ", "elm.home.kith.alt cid@elm.home.kith.alt "
	want := []string{elms + "queued", elms + "queued", oaks + "queued", oaks + "queued"}
	if got := ways("ann", "one@maple"); !slices.Equal(got, want) {
		t.Errorf("on their way: %q", got)
	}
	for i, l := range maple.letters(t) {
		state, to := kith.LetterDelivered, oak.id
		if i == 0 {
			state, to = kith.LetterExpired, elm.id
		}
		maple.end(t, l, state, "", to)
	}
	got := strings.Join(ways("ann", "one@maple"), "; ")
	if strings.Count(got, "delivered") != 3 || strings.Count(got, "expired") != 1 {
		t.Errorf("after their end: %s", got)
	}
	if got := ways("bob", "one@maple"); got != nil {
		t.Errorf("another account is told of %q", got)
	}
	blob, err := maple.mailboxes.Write(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := maple.mailboxes.Append(t.Context(), "ann", mailbox.Sent, mailbox.Delivery{Blob: blob})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := maple.mailboxes.Expunge(t.Context(), sent.Folder.ID, []mailbox.Range{{From: 1, To: 1}}, true); err != nil {
		t.Fatal(err)
	}
	if got := ways("ann", "one@maple"); got != nil {
		t.Errorf("of a message that is gone: %q", got)
	}
	if got := ways("ann", "two@maple"); got != nil {
		t.Errorf("another message has %q", got)
	}
}
