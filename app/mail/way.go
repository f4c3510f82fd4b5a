package mail

import (
	"context"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/ui"
)

// maxWays is how many hosts a page shows the ways of a message to; the others are counted.
const maxWays = 12

// A way is how far a message is on its way to another host.
type way struct {
	Host       string
	Recipients string
	Letter     ui.Letter
}

// ways returns those of a message that an account has sent, and how many more there are.
func (m *mail) ways(ctx context.Context, account, messageID string) (list []way, more int, err error) {
	if messageID == "" {
		return nil, 0, nil
	}
	passages, err := m.delivery.Passages(ctx, account, messageID)
	if err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(passages, func(a, b delivery.Passage) int { return urgency(b.Status.State) - urgency(a.Status.State) })
	names := make(map[kith.ID]string)
	for _, member := range m.host.Members() {
		names[member.ID] = member.Host
	}
	for _, p := range passages {
		if len(list) == maxWays {
			more++
			continue
		}
		s := p.Status
		w := way{Host: names[s.To], Recipients: clip(strings.Join(p.Recipients, ", "), 200)}
		if w.Host == "" {
			w.Host = p.Host
		}
		w.Letter = ui.Letter{To: w.Host, State: s.State, Sent: s.Sent, Since: s.Since, Expires: s.Expires}
		if s.Reason != "" {
			w.Letter.Note = sentence(s.Reason)
		}
		for _, id := range s.Held {
			if name := names[id]; name != "" {
				w.Letter.Held = append(w.Letter.Held, name)
			}
		}
		if s.State == kith.LetterHeld && len(w.Letter.Held) == 0 {
			w.Letter.Held = []string{"other members"}
		}
		list = append(list, w)
	}
	return list, more, nil
}

func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// urgency orders states by how much they are to be known.
func urgency(state string) int {
	return slices.Index([]string{kith.LetterDelivered, kith.LetterHeld, kith.LetterQueued, kith.LetterExpired, kith.LetterRefused}, state)
}

// markOf says in a list how far a sent message is: the state that is most to be known. What went to people of this host alone has
// none.
func (m *mail) markOf(ctx context.Context, account, messageID string) (*mark, error) {
	if messageID == "" {
		return nil, nil
	}
	passages, err := m.delivery.Passages(ctx, account, messageID)
	if err != nil || len(passages) == 0 {
		return nil, err
	}
	worst := slices.MaxFunc(passages, func(a, b delivery.Passage) int { return urgency(a.Status.State) - urgency(b.Status.State) })
	switch worst.Status.State {
	case kith.LetterDelivered:
		return &mark{"good", "check", "Delivered"}, nil
	case kith.LetterHeld:
		return &mark{"soft", "people", "Held by other members"}, nil
	case kith.LetterRefused:
		return &mark{"problem", "warning", "Refused"}, nil
	case kith.LetterExpired:
		return &mark{"problem", "warning", "Expired"}, nil
	}
	return &mark{"soft", "clock", "Waits here"}, nil
}
