package mailbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
)

func TestSearch(t *testing.T) {
	s, _ := open(t, Limits{})
	add(t, s, Inbox, text("Annual report", "The quick brown fox."), imap.FlagSeen)
	add(t, s, Inbox, text("Lunch", "Fox hunting is über-boring, <b>really</b>.")) // 2
	add(t, s, Inbox, "From: a@b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\nX-Kind: special\r\n\r\n"+
		"<html><style>hidden</style><p>caf=E9 <b>cr</b>eme &amp; cake</p></html>\r\n", "$Work") // 3
	add(t, s, Inbox, "Subject: =?utf-8?q?=E6=B1=89=E8=AF=AD?=\r\n\r\n汉语普通话\r\n") // 4
	add(t, s, Inbox, "garbage\x00\xff\xfe without a header\r\n"+strings.Repeat("y", 5000))
	v := view(t, s, Inbox)
	header := func(key, value string) imap.SearchCriteria {
		return imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: key, Value: value}}}
	}
	november := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		c    imap.SearchCriteria
		want []imap.UID
	}{
		{"all", imap.SearchCriteria{}, []imap.UID{1, 2, 3, 4, 5}},
		{"a word", imap.SearchCriteria{Text: []string{"fox"}}, []imap.UID{1, 2}},
		{"a phrase, its last word begun", imap.SearchCriteria{Text: []string{"annual rep"}}, []imap.UID{1}},
		{"words in another order", imap.SearchCriteria{Text: []string{"report annual"}}, nil},
		{"two words", imap.SearchCriteria{Text: []string{"quick", "annual"}}, []imap.UID{1}},
		{"not in the body", imap.SearchCriteria{Body: []string{"annual"}}, nil},
		{"without accents", imap.SearchCriteria{Body: []string{"Uber"}}, []imap.UID{2}},
		{"HTML", imap.SearchCriteria{Body: []string{"café creme"}}, []imap.UID{3}},
		{"what nobody sees", imap.SearchCriteria{Body: []string{"hidden"}}, nil},
		{"Chinese", imap.SearchCriteria{Body: []string{"普通"}}, []imap.UID{4}},
		{"Chinese subject", header("Subject", "汉"), []imap.UID{4}},
		{"no words", imap.SearchCriteria{Body: []string{"</"}}, []imap.UID{2}},
		{"syntax of FTS5", imap.SearchCriteria{Text: []string{`fox" OR "a* NEAR(`}}, nil},
		{"empty", imap.SearchCriteria{Text: []string{""}}, []imap.UID{1, 2, 3, 4, 5}},
		{"from", header("From", "bob"), []imap.UID{1, 2}},
		{"to", header("To", "ann@maple"), []imap.UID{1, 2}},
		{"message ID", header("Message-ID", "<Lunch@oak>"), []imap.UID{2}},
		{"any header", header("X-Kind", "PECIA"), []imap.UID{3}},
		{"has header", header("X-Kind", ""), []imap.UID{3}},
		{"seen", imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}, []imap.UID{1}},
		{"unseen", imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}, []imap.UID{2, 3, 4, 5}},
		{"keyword", imap.SearchCriteria{Flag: []imap.Flag{"$work"}}, []imap.UID{3}},
		{"recent", imap.SearchCriteria{Flag: []imap.Flag{`\Recent`}}, nil},
		{"old", imap.SearchCriteria{NotFlag: []imap.Flag{`\Recent`}}, []imap.UID{1, 2, 3, 4, 5}},
		{"sent on", imap.SearchCriteria{SentSince: november, SentBefore: november.AddDate(0, 0, 1)}, []imap.UID{1, 2}},
		{"sent later", imap.SearchCriteria{SentSince: november.AddDate(0, 0, 1)}, nil},
		{"received", imap.SearchCriteria{Since: time.Now().AddDate(0, 0, -1)}, []imap.UID{1, 2, 3, 4, 5}},
		{"larger", imap.SearchCriteria{Larger: 4000}, []imap.UID{5}},
		{"smaller", imap.SearchCriteria{Smaller: 4000, Flag: []imap.Flag{imap.FlagSeen}}, []imap.UID{1}},
		{"not", imap.SearchCriteria{Not: []imap.SearchCriteria{{Text: []string{"fox"}}}}, []imap.UID{3, 4, 5}},
		{"or", imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{header("X-Kind", "special"), {Text: []string{"quick"}}}}}, []imap.UID{1, 3}},
		{"numbers", imap.SearchCriteria{SeqNum: []imap.SeqSet{{{Start: 2, Stop: 3}, {Start: 0, Stop: 0}}}}, []imap.UID{2, 3, 5}},
		{"UIDs", imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 4, Stop: 0}}}}, []imap.UID{4, 5}},
		{"many UIDs", imap.SearchCriteria{UID: []imap.UIDSet{slices.Repeat(imap.UIDSet{{Start: 4, Stop: 4}}, 100)}}, []imap.UID{4}},
	} {
		got, err := s.Search(t.Context(), v.Folder.ID, v, &test.c)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v (%v)", test.name, got, test.want, err)
		}
		if len(test.c.SeqNum)+len(test.c.UID) > 0 {
			continue // numbers are those of a view
		}
		if got, err := s.Search(t.Context(), v.Folder.ID, nil, &test.c); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s, without a view: %v, want %v (%v)", test.name, got, test.want, err)
		}
	}
	deep := imap.SearchCriteria{}
	for range maxTerms + 1 {
		deep = imap.SearchCriteria{Not: []imap.SearchCriteria{deep}}
	}
	if _, err := s.Search(t.Context(), v.Folder.ID, v, &deep); !errors.Is(err, kith.Quota) {
		t.Errorf("a deep search: %v", err)
	}
}

// TestSearchFollows: what is kept in memory for searches follows what becomes of messages.
// TestSearchRanges has very many ranges of UIDs, in any order, and more than once.
func TestSearchRanges(t *testing.T) {
	s, _ := open(t, Limits{})
	for n := range 300 {
		add(t, s, Inbox, text(fmt.Sprint("n", n), "x"))
	}
	v := view(t, s, Inbox)
	var set imap.UIDSet
	var want []imap.UID
	for n := 299; n > 0; n -= 2 {
		set = append(set, imap.UIDRange{Start: imap.UID(n), Stop: imap.UID(n)}, imap.UIDRange{Start: 7, Stop: 8})
	}
	for n := imap.UID(1); n < 300; n++ {
		if n%2 == 1 || n == 8 {
			want = append(want, n)
		}
	}
	got, err := s.Search(t.Context(), v.Folder.ID, v, &imap.SearchCriteria{UID: []imap.UIDSet{set}, Larger: 1})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSearchFollows(t *testing.T) {
	s, _ := open(t, Limits{})
	for _, subject := range []string{"red", "green", "red", "blue", "red"} {
		add(t, s, Inbox, text(subject, "A colour."))
	}
	v := view(t, s, Inbox)
	finds := func(when, word string, want ...imap.UID) {
		t.Helper()
		got, err := s.Search(t.Context(), v.Folder.ID, v, &imap.SearchCriteria{Text: []string{word}, NotFlag: []imap.Flag{imap.FlagSeen}})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s %s is found in %v, want %v (%v)", when, word, got, want, err)
		}
	}
	finds("at first", "red", 1, 3, 5)
	if _, err := s.SetFlags(t.Context(), v.Folder.ID, []Range{{3, 3}}, imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}); err != nil {
		t.Fatal(err)
	}
	finds("when one is seen,", "red", 1, 5)
	if _, err := s.Expunge(t.Context(), v.Folder.ID, []Range{{1, 2}}, true); err != nil {
		t.Fatal(err)
	}
	finds("when the first are gone,", "red", 5)
	finds("when the first are gone,", "green")
	add(t, s, Inbox, text("green", "Come later."))
	finds("when one came,", "green", 6)
	if _, err := s.Transfer(t.Context(), ann, v.Folder.ID, []Range{{4, 5}}, Inbox, false); err != nil {
		t.Fatal(err)
	}
	finds("of copies", "blue", 4, 7)
	finds("of copies", "red", 5, 8)
	finds("of all", "colour", 4, 5, 7, 8)
}

func TestKnown(t *testing.T) {
	v := &View{state: state{uids: []imap.UID{2, 3, 5, 9}}}
	for _, test := range []struct{ uids, known, numbers []imap.UID }{
		{nil, nil, nil},
		{[]imap.UID{2, 3, 5, 9}, []imap.UID{2, 3, 5, 9}, []imap.UID{1, 2, 3, 4}},
		{[]imap.UID{1, 2, 4, 5, 6, 9, 10}, []imap.UID{2, 5, 9}, []imap.UID{1, 3, 4}},
		{[]imap.UID{9}, []imap.UID{9}, []imap.UID{4}},
		{[]imap.UID{1, 10, 11}, nil, nil},
	} {
		if known, numbers := v.Known(test.uids); !slices.Equal(known, test.known) || !slices.Equal(numbers, test.numbers) {
			t.Errorf("of %v: %v, %v", test.uids, known, numbers)
		}
	}
}
