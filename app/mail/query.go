package mail

import (
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
)

const (
	maxQuery      = 500 // bytes
	maxQueryTerms = 20
)

// A query is what the box for searches asks for.
type query struct {
	Criteria imap.SearchCriteria
	In       string // a folder's name; "" for all but Junk and Trash, "anywhere" for these as well
	Files    bool
}

// parseQuery reads words and "phrases", from:, to:, subject:, in:, is:unread (read, starred, answered), has:attachment, before: and
// after: a date as 2026-11-23; a minus sign before one excludes it. It fails with kind Invalid.
func parseQuery(text string) (q query, err error) {
	if len(text) > maxQuery {
		return q, fmt.Errorf("a search has at most %d characters: %w", maxQuery, kith.Invalid)
	}
	terms := split(text)
	if len(terms) > maxQueryTerms {
		return q, fmt.Errorf("a search has at most %d parts: %w", maxQueryTerms, kith.Invalid)
	}
	for _, term := range terms {
		if !term.not {
			if err := q.add(&q.Criteria, term); err != nil {
				return q, err
			}
			continue
		}
		if term.key == "in" || term.key == "has" {
			return q, fmt.Errorf("%s: cannot be excluded: %w", term.key, kith.Invalid)
		}
		var not imap.SearchCriteria
		if err := q.add(&not, term); err != nil {
			return q, err
		}
		q.Criteria.Not = append(q.Criteria.Not, not)
	}
	return q, nil
}

// A term is one part of a query.
type term struct {
	key, value string
	not        bool
}

var keys = map[string]bool{"from": true, "to": true, "cc": true, "subject": true, "in": true, "is": true, "has": true, "before": true, "after": true}

// split parts a query at spaces that are not within quotes.
func split(text string) (terms []term) {
	var b strings.Builder
	var t term
	quoted, started := false, false
	flush := func() {
		if t.value = strings.TrimSpace(b.String()); started && (t.value != "" || t.key != "") {
			terms = append(terms, t)
		}
		b.Reset()
		t, started = term{}, false
	}
	for _, r := range strings.ToValidUTF8(text, " ") {
		switch {
		case r == '"' || r == '“' || r == '”':
			quoted, started = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == 0):
			flush()
		case !quoted && r == '-' && !started:
			t.not, started = true, true
		case !quoted && r == ':' && t.key == "" && keys[strings.ToLower(b.String())]:
			t.key = strings.ToLower(b.String())
			b.Reset()
		default:
			started = true
			b.WriteRune(r)
		}
	}
	flush()
	return terms
}

// add adds a term to criteria.
func (q *query) add(c *imap.SearchCriteria, t term) error {
	if t.value == "" {
		return fmt.Errorf("something is missing after %s: %w", t.key+":", kith.Invalid)
	}
	switch t.key {
	case "":
		c.Text = append(c.Text, t.value)
	case "from", "subject", "cc":
		c.Header = append(c.Header, imap.SearchCriteriaHeaderField{Key: t.key, Value: t.value})
	case "to":
		field := func(name string) imap.SearchCriteria {
			return imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: name, Value: t.value}}}
		}
		c.Or = append(c.Or, [2]imap.SearchCriteria{field("to"), field("cc")})
	case "in":
		q.In = t.value
	case "has":
		if value := strings.ToLower(t.value); value != "attachment" && value != "file" && value != "attachments" {
			return fmt.Errorf("has: knows attachment only: %w", kith.Invalid)
		}
		q.Files = true
	case "is":
		switch strings.ToLower(t.value) {
		case "unread":
			c.NotFlag = append(c.NotFlag, imap.FlagSeen)
		case "read":
			c.Flag = append(c.Flag, imap.FlagSeen)
		case "starred":
			c.Flag = append(c.Flag, imap.FlagFlagged)
		case "answered":
			c.Flag = append(c.Flag, imap.FlagAnswered)
		default:
			return fmt.Errorf("is: knows unread, read, starred and answered: %w", kith.Invalid)
		}
	case "before", "after":
		day, err := parseDay(t.value)
		if err != nil {
			return err
		}
		if t.key == "before" {
			c.Before = day
		} else {
			c.Since = day
		}
	}
	return nil
}

// parseDay reads 2026-11-23, 2026-11 and 2026.
func parseDay(text string) (time.Time, error) {
	text = strings.NewReplacer("/", "-", ".", "-").Replace(text)
	for _, layout := range []string{"2006-1-2", "2006-1", "2006"} {
		if day, err := time.Parse(layout, text); err == nil && day.Year() >= 1900 {
			return day, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no date; one is written as 2026-11-23: %w", text, kith.Invalid)
}
