package delivery

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kith.alt/kith"
)

func (h *host) set(t *testing.T, account string, s Settings) {
	t.Helper()
	if _, err := h.ChangeSettings(t.Context(), account, func(to *Settings) { *to = s }); err != nil {
		t.Fatal(err)
	}
}

func TestForward(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	maple.accounts.Add("eve")
	maple.accounts.Add("eva")
	maple.set(t, "eve", Settings{Forward: "bob@oak"})
	if err := maple.submit(t, plain, "eve"); err != nil {
		t.Fatal(err)
	}
	if err := maple.carry(t, oak); err != nil {
		t.Fatal(err)
	}
	there := oak.inbox(t, "bob")
	if len(there) != 1 || !strings.Contains(there[0], "\r\nDelivered-To: eve@maple.home.kith.alt\r\n") || !strings.HasSuffix(there[0], plain) || len(maple.inbox(t, "eve")) > 0 {
		t.Fatalf("bob has %q, eve %q", there, maple.inbox(t, "eve"))
	}
	maple.set(t, "eve", Settings{Forward: "eva", Keep: true})
	maple.set(t, "eva", Settings{Forward: "eve"}) // round in circles
	if err := maple.submit(t, plain, "eve"); err != nil {
		t.Fatal(err)
	}
	if eve, eva := len(maple.inbox(t, "eve")), len(maple.inbox(t, "eva")); eve != 2 || eva != 0 {
		t.Errorf("eve has %d, eva %d", eve, eva)
	}
	// What cannot be forwarded comes back whole to the one who forwards.
	maple.set(t, "eve", Settings{Forward: "bob@oak"})
	if err := maple.submit(t, plain, "eve"); err != nil {
		t.Fatal(err)
	}
	maple.end(t, maple.letters(t)[0], kith.LetterExpired, "", oak.id)
	told := maple.inbox(t, "eve")
	if last := told[len(told)-1]; !strings.Contains(last, "Status: 4.4.7") || !strings.Contains(last, plain) || len(maple.inbox(t, "ann")) > 0 {
		t.Errorf("eve was told %q", last)
	}
	for forward, kind := range map[string]error{"nobody": kith.NotFound, "x@example.com": kith.NotFound, "a b": kith.Invalid, "eve": kith.Invalid} {
		if _, err := maple.ChangeSettings(t.Context(), "eve", func(s *Settings) { s.Forward = forward }); !errors.Is(err, kind) {
			t.Errorf("forward to %q: %v, want %v", forward, err, kind)
		}
	}
}

// TestListsOfLists: lists that have one another for members, and accounts that forward to them, make one copy for each
// member of each list.
func TestListsOfLists(t *testing.T) {
	maple := newGroup(t, "ann", "bob")[0]
	maple.accounts.Add("eve")
	maple.accounts.Add("eva")
	const count = 12
	for n := range count {
		if err := maple.book.AddList(t.Context(), fmt.Sprint("l", n), "ann"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range count {
		for other := range count {
			if other != n {
				if err := maple.book.Join(t.Context(), fmt.Sprint("l", n), fmt.Sprint("l", other)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, name := range []string{"ann", "eve"} {
			if err := maple.book.Join(t.Context(), fmt.Sprint("l", n), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	maple.set(t, "eve", Settings{Forward: "eva"})
	before := len(maple.inbox(t, "ann"))
	if err := maple.submit(t, plain, "l0"); err != nil {
		t.Fatal(err)
	}
	if ann, eve, eva := len(maple.inbox(t, "ann"))-before, len(maple.inbox(t, "eve")), len(maple.inbox(t, "eva")); ann != count || eve >= count || eva != 1 {
		t.Errorf("ann has %d, eve %d, eva %d", ann, eve, eva) // eve has what was passed on too often to be forwarded
	}
	maple.set(t, "eve", Settings{Forward: "l0"}) // of which she is a member
	if err := maple.submit(t, plain, "eve"); err != nil {
		t.Fatal(err)
	}
	if eve, eva := len(maple.inbox(t, "eve")), len(maple.inbox(t, "eva")); eve == 0 || eva != 1 {
		t.Error("what goes round in circles is nowhere")
	}
}

func TestAway(t *testing.T) {
	group := newGroup(t, "ann", "bob")
	maple, oak := group[0], group[1]
	maple.accounts.Add("eve")
	maple.set(t, "eve", Settings{Away: "Back in May. Grüße"})
	send := func(more, to string) int {
		t.Helper()
		before := len(maple.inbox(t, "ann"))
		if err := maple.submit(t, more+"From: ann@maple\r\nTo: "+to+"\r\nSubject: Hello\r\n\r\nx\r\n", "eve"); err != nil {
			t.Fatal(err)
		}
		return len(maple.inbox(t, "ann")) - before
	}
	for _, c := range []struct {
		name, more, to string
		answers        int
	}{
		{"list", "List-Id: <x>\r\n", "eve@maple", 0},
		{"automatic", "Auto-Submitted: auto-generated\r\n", "eve@maple", 0},
		{"bulk", "Precedence: bulk\r\n", "eve@maple", 0},
		{"not by name", "", "all@home.kith.alt", 0},
		{"person", "Auto-Submitted: no\r\n", "Eve <eve+x@maple.home.kith.alt>", 1},
		{"again", "", "eve@maple", 0},
	} {
		if n := send(c.more, c.to); n != c.answers {
			t.Errorf("%s: %d answers", c.name, n)
		}
	}
	answer := maple.inbox(t, "ann")[0]
	for _, want := range []string{"Subject: Auto: Hello\r\n", "Auto-Submitted: auto-replied\r\n", "To: <ann@maple.home.kith.alt>\r\n", "Back in May. Gr=C3=BC=C3=9Fe\r\n"} {
		if !strings.Contains(answer, want) {
			t.Errorf("%q is not in %q", want, answer)
		}
	}
	if len(maple.inbox(t, "eve")) != 6 {
		t.Error("mail was not kept")
	}
	maple.set(t, "eve", Settings{Away: "Back in June."})
	if n := send("", "eve@maple"); n != 1 {
		t.Errorf("another text: %d answers", n)
	}
	// By letter, and never to what is itself an answer.
	oak.set(t, "bob", Settings{Away: "Away, too."})
	if err := maple.submit(t, plain, "bob@oak"); err != nil {
		t.Fatal(err)
	}
	if err := maple.carry(t, oak); err != nil {
		t.Fatal(err)
	}
	maple.set(t, "ann", Settings{Away: "And I."})
	if err := oak.carry(t, maple); err != nil {
		t.Fatal(err)
	}
	inbox := maple.inbox(t, "ann")
	if last := inbox[len(inbox)-1]; !strings.Contains(last, "Away, too.") || len(maple.letters(t)) > 0 {
		t.Errorf("ann has %q, %d letters in answer", last, len(maple.letters(t)))
	}
}
