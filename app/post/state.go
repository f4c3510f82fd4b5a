package post

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// A Letter is a letter of this host, as the API tells of it.
type Letter struct {
	kith.LetterStatus
	Size   int64    `json:"size"`   // bytes of its payload
	ToName string   `json:"toName"` // the short name of To
	HeldBy []string `json:"heldBy,omitempty"`
	Text   string   `json:"text"` // the state, as a person reads it
}

// Held is what this host holds of a sender's letters.
type Held struct {
	kith.Custody
	Name string `json:"name"` // of the sender
}

// Lost is a letter that this host had, and lost when it was restored from a backup.
type Lost struct {
	kith.LostLetter
	Name string `json:"name"` // of the sender
}

// A group is the members as they are at one moment.
type group struct {
	self    kith.ID
	members map[kith.ID]kith.Member
}

func (p *post) group() group {
	g := group{p.host.ID(), make(map[kith.ID]kith.Member)}
	for _, m := range p.host.Members() {
		g.members[m.ID] = m
	}
	return g
}

// name returns the short name of a member, or the beginning of the ID of a host
// that is none any more.
func (g group) name(id kith.ID) string {
	if m, ok := g.members[id]; ok {
		return m.Host
	}
	return id.Short()
}

// describe says of a letter what people want to know.
func (g group) describe(s kith.LetterStatus, now time.Time) Letter {
	s.Reason = printable(s.Reason) // it may be another host's
	l := Letter{LetterStatus: s, Size: s.Payload.Size, ToName: g.name(s.To)}
	for _, id := range s.Held {
		l.HeldBy = append(l.HeldBy, g.name(id))
	}
	slices.Sort(l.HeldBy)
	l.Text = s.State
	switch s.State {
	case kith.LetterHeld:
		if len(l.HeldBy) > 0 {
			l.Text = "held by " + ui.And(l.HeldBy...)
		}
	case kith.LetterDelivered:
		l.Text = "delivered " + clock(s.Since, now)
	}
	if reason := clause(g.reason(s)); reason != "" && s.State != kith.LetterExpired {
		l.Text += ": " + reason
	}
	return l
}

// reason says why a letter is where it is; "" where there is nothing to say.
func (g group) reason(s kith.LetterStatus) string {
	to := g.name(s.To)
	switch {
	case s.Reason != "" || s.State != kith.LetterQueued:
		return s.Reason
	case g.members[s.To].Online:
		return "it is on its way to " + to
	}
	for id, m := range g.members {
		if id != g.self && id != s.To && m.Online {
			return to + " sleeps, and others are asked to hold it"
		}
	}
	return to + " sleeps, nobody else is there to hold it"
}

// way is a letter as its timeline shows it.
func (l Letter) way(g group) ui.Letter {
	return ui.Letter{To: l.ToName, State: l.State, Note: sentence(g.reason(l.LetterStatus)), Held: l.HeldBy, Sent: l.Sent, Since: l.Since, Expires: l.Expires}
}

// clock writes a moment shortly: the time of today, with the day of other days.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006 15:04")
}

// printable leaves out what moves the cursor of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}

// clause makes the part of a sentence of a whole one.
func clause(text string) string {
	text = strings.TrimSuffix(text, ".")
	first, n := utf8.DecodeRuneInString(text)
	if second, _ := utf8.DecodeRuneInString(text[n:]); n == 0 || unicode.IsUpper(second) {
		return text // nothing, or an abbreviation
	}
	return string(unicode.ToLower(first)) + text[n:]
}

// sentence makes a whole sentence of a part of one.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:] + "."
}
