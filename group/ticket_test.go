package group

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

func testTicket() Ticket {
	t := Ticket{Inviter: testID("maple"), Expires: time.Unix(1_900_000_000, 0)}
	for i := range t.Genesis {
		t.Genesis[i] = byte(i)
	}
	for i := range t.Secret {
		t.Secret[i] = byte(0xf0 + i)
	}
	for _, address := range []string{"192.168.1.20:4747", "[2001:db8::20]:4747", "198.51.100.7:4747", "10.0.0.9:4747", "[2001:db8::21]:4747", "192.0.2.3:1"} {
		t.Addresses = append(t.Addresses, netip.MustParseAddrPort(address))
	}
	return t
}

func TestTicketText(t *testing.T) {
	ticket := testTicket()
	text := ticket.String()
	if len(text) > MaxTicket || strings.ToLower(text) != text {
		t.Errorf("text of %d characters: %s", len(text), text)
	}
	spaced := " " + strings.ToUpper(text[:40]) + "\r\n  " + text[40:] + "\n"
	got, err := ParseTicket(spaced)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != text || got.Genesis != ticket.Genesis || got.Secret != ticket.Secret || got.Inviter != ticket.Inviter || !got.Expires.Equal(ticket.Expires) {
		t.Errorf("parsed %+v", got)
	}
	// What does not fit is left out, and smaller addresses behind it are not.
	if len(got.Addresses) != 4 || got.Addresses[0] != ticket.Addresses[0] {
		t.Errorf("addresses %v", got.Addresses)
	}
}

// A ticket without an introduction has the text that it always had, and one
// with it is one byte longer.
func TestTicketIntroduces(t *testing.T) {
	ticket := testTicket()
	ticket.Addresses = ticket.Addresses[:1]
	const before = "kithafkqaaicamcakbqhbaequcymbuha6earcij6ire7ynqh3jjrd7llgouaub4wz7sthqt6umyi2yseikxv5r3llrpq6hzph5hv6337r6p27p6p37x7oe73gaaeycuacfasrnavdtoj"
	if got := ticket.String(); got != before {
		t.Errorf("text is now %s", got)
	}
	plain, meeting := ticket.String(), ticket.Meeting()
	ticket.Introduce = true
	got, err := ParseTicket(ticket.String())
	if err != nil || !got.Introduce || len(got.Addresses) != 1 || len(got.String()) > len(plain)+2 {
		t.Errorf("parsed %+v, %v", got, err)
	}
	if got.Meeting() != meeting || bytes.Contains(meeting[:], ticket.Secret[:4]) || bytes.Equal(meeting[:], ticket.key().Seed()) {
		t.Errorf("meets by %x, not %x", got.Meeting(), meeting)
	}
	full := testTicket()
	full.Introduce = true
	if got, err := ParseTicket(full.String()); err != nil || !got.Introduce || len(full.String()) > MaxTicket {
		t.Errorf("parsed %+v, %v", got, err)
	}
	other := testTicket()
	other.Secret[0]++
	if other.Meeting() == meeting {
		t.Error("two tickets meet at one place")
	}
	maple := found(t, "maple")
	invited, err := maple.Invite(t.Context(), InviteRequest{Introduce: true}, nil)
	if err != nil || !invited.Introduce {
		t.Errorf("invited by %+v, %v", invited, err)
	}
}

func TestTicketErrors(t *testing.T) {
	text := testTicket().String()
	newer := []byte(text)
	newer[len(ticketPrefix)] = 'b'
	mistyped := []byte(text)
	mistyped[100] ^= 'a' ^ 'b'
	for _, test := range []struct{ what, text, want string }{
		{"empty", "", "no ticket"},
		{"prose", "come to my group", "no ticket"},
		{"mistyped", string(mistyped), "mistyped"},
		{"foreign character", strings.Replace(text, text[50:51], "1", 1), "mistyped"},
		{"one missing", text[:len(text)-1], "truncated"},
		{"half", text[:len(text)/2], "truncated"},
		{"five characters", text[:len(ticketPrefix)+5], "truncated"},
		{"too long", text + "aa", "mistyped"},
		{"newer", string(newer), "newer"},
		{"huge", strings.Repeat("k", 1<<20), "no ticket"},
	} {
		_, err := ParseTicket(test.text)
		if !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.what, err, test.want)
		}
	}
}

func FuzzParseTicket(f *testing.F) {
	text := testTicket().String()
	f.Add(text)
	f.Add(text[:60])
	f.Add(strings.ToUpper(text))
	f.Add(Ticket{}.String())
	f.Add(Ticket{Introduce: true}.String())
	f.Fuzz(func(t *testing.T, text string) {
		ticket, err := ParseTicket(text)
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Errorf("error without kind: %v", err)
			}
			return
		}
		printed := ticket.String()
		again, err := ParseTicket(printed)
		if err != nil || again.String() != printed || len(printed) > MaxTicket {
			t.Errorf("%q prints as %q: %v", text, printed, err)
		}
	})
}
