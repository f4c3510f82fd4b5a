package mailbox

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/message"
)

const (
	maxTerms  = 200    // of a search
	maxRead   = 20_000 // messages that a search opens
	scanBatch = 200
	enough    = 1000 // messages with words, to look for them among the newest rather than one by one
)

// Search returns the UIDs of a folder's messages that meet criteria, in ascending order. Numbers of messages are
// those of the view, which may be nil where there are none. It fails with kind Invalid for what is no search, and
// Quota for one that is too large.
func (s *Store) Search(ctx context.Context, folder int64, view *View, criteria *imap.SearchCriteria) (uids []imap.UID, err error) {
	expression, simple := simply(criteria)
	if !simple || expression != "" {
		if err := s.indexRest(ctx); err != nil {
			return nil, err
		}
	}
	if simple && view != nil {
		return view.matching(ctx, criteria.Flag, criteria.NotFlag, expression)
	}
	q := &query{ctx: ctx, store: s, folder: folder, view: view}
	where, err := q.all(criteria)
	if err != nil {
		return nil, err
	}
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		uids, err = column[imap.UID](ctx, tx, `SELECT m.uid FROM mail_messages m WHERE m.folder = ?`+where+` ORDER BY m.uid`, append([]any{folder}, q.args...)...)
		return err
	})
	return uids, err
}

// simply reports whether criteria are flags, and words that are in the index, and nothing else, as most searches are;
// and returns the expression of FTS5 for the words, "" where there are none.
func simply(c *imap.SearchCriteria) (expression string, ok bool) {
	recent := func(flag imap.Flag) bool { return strings.EqualFold(string(flag), `\Recent`) } // is no flag of a message
	others := *c
	others.Flag, others.NotFlag, others.Header, others.Body, others.Text = nil, nil, nil, nil, nil
	if !reflect.DeepEqual(others, imap.SearchCriteria{}) || slices.ContainsFunc(slices.Concat(c.Flag, c.NotFlag), recent) || len(c.Flag)+len(c.NotFlag) > maxTerms {
		return "", false
	}
	return wording(c)
}

// wording returns an expression of FTS5 that messages match which meet criteria, "" for none, and whether it says all that
// the criteria say of header fields and text.
func wording(c *imap.SearchCriteria) (expression string, all bool) {
	var terms []string
	all = true
	add := func(column, text string, ok bool) {
		if term, in := match(column, text); ok && in && len(terms) < maxTerms {
			terms = append(terms, term)
		} else {
			all = false
		}
	}
	for _, field := range c.Header {
		column, ok := indexed[strings.ToLower(field.Key)]
		add(column, field.Value, ok)
	}
	for _, text := range c.Body {
		add("body", text, true)
	}
	for _, text := range c.Text {
		add("", text, true)
	}
	return strings.Join(terms, " AND "), all
}

// few reports whether the index of words has few messages, of all accounts, that may meet criteria.
func (s *Store) few(ctx context.Context, criteria *imap.SearchCriteria) (few bool, err error) {
	expression, _ := wording(criteria)
	if expression == "" {
		return false, nil
	}
	err = s.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) < ?2 FROM (SELECT 1 FROM mail_words WHERE mail_words MATCH ?1 LIMIT ?2)`, expression, enough).Scan(&few)
	})
	return few, err
}

// match returns an expression of FTS5 for a text in a column of the index, or in any; false where the
// index cannot tell.
func match(column, text string) (expression string, ok bool) {
	expression, ok = phrase(text)
	if column != "" {
		expression = column + ` : ` + expression
	}
	return expression, ok
}

// A query turns criteria into SQL on mail_messages m.
type query struct {
	ctx    context.Context
	store  *Store
	folder int64
	view   *View
	args   []any
	terms  int
	read   int
}

func (q *query) arg(values ...any) { q.args = append(q.args, values...) }

// all returns " AND ..." for each of the criteria.
func (q *query) all(c *imap.SearchCriteria) (string, error) {
	if q.terms++; q.terms > maxTerms {
		return "", fmt.Errorf("the search has more than %d parts: %w", maxTerms, kith.Quota)
	}
	var b strings.Builder
	and := func(condition string, args ...any) {
		b.WriteString(" AND " + condition)
		q.arg(args...)
	}
	for _, set := range c.SeqNum {
		and(`(` + q.ranges(q.view.Numbers(set)) + `)`)
	}
	for _, set := range c.UID {
		and(`(` + q.ranges(q.view.UIDs(set)) + `)`)
	}
	for _, flag := range c.Flag {
		if err := q.flag(&b, flag, " AND "); err != nil {
			return "", err
		}
	}
	for _, flag := range c.NotFlag {
		if err := q.flag(&b, flag, " AND NOT "); err != nil {
			return "", err
		}
	}
	if !c.Since.IsZero() {
		and(`m.received + m.zone >= ?`, day(c.Since))
	}
	if !c.Before.IsZero() {
		and(`m.received + m.zone < ?`, day(c.Before))
	}
	const sent = `(SELECT c.sent FROM mail_contents c WHERE c.id = m.content)`
	if !c.SentSince.IsZero() {
		and(sent+` >= ?`, day(c.SentSince))
	}
	if !c.SentBefore.IsZero() {
		and(`(`+sent+` < ? AND `+sent+` <> 0)`, day(c.SentBefore))
	}
	if c.Larger > 0 {
		and(`m.size > ?`, c.Larger)
	}
	if c.Smaller > 0 {
		and(`m.size < ?`, c.Smaller)
	}
	for _, field := range c.Header {
		if err := q.header(&b, field.Key, field.Value); err != nil {
			return "", err
		}
	}
	for _, text := range c.Body {
		if err := q.text(&b, "body", text); err != nil {
			return "", err
		}
	}
	for _, text := range c.Text {
		if err := q.text(&b, "", text); err != nil {
			return "", err
		}
	}
	for i := range c.Not {
		inner, err := q.all(&c.Not[i])
		if err != nil {
			return "", err
		}
		b.WriteString(` AND NOT (1` + inner + `)`)
	}
	for i := range c.Or {
		left, err := q.all(&c.Or[i][0])
		if err != nil {
			return "", err
		}
		right, err := q.all(&c.Or[i][1])
		if err != nil {
			return "", err
		}
		b.WriteString(` AND ((1` + left + `) OR (1` + right + `))`)
	}
	return b.String(), nil
}

// day is the beginning of a date without regard to zones (RFC 9051 6.4.4).
func day(t time.Time) int64 {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix()
}

// ranges returns a condition that UIDs meet.
func (q *query) ranges(list []Range) string {
	list = merged(list)
	if len(list) == 0 {
		return "0"
	}
	if len(list) <= 50 {
		var conditions []string
		for _, r := range list {
			conditions = append(conditions, `m.uid BETWEEN ? AND ?`)
			q.arg(r.From, r.To)
		}
		return strings.Join(conditions, " OR ")
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // numbers
	}
	q.arg(string(text), q.folder)
	return `m.uid IN (SELECT u.uid FROM json_each(?) r CROSS JOIN mail_messages u ON u.folder = ? AND u.uid BETWEEN r.value ->> '$.From' AND r.value ->> '$.To')`
}

// merged returns ranges in ascending order, with those that touch as one.
func merged(list []Range) (all []Range) {
	for _, r := range slices.SortedFunc(slices.Values(list), func(a, b Range) int { return cmp.Compare(a.From, b.From) }) {
		if n := len(all); n > 0 && uint64(r.From) <= uint64(all[n-1].To)+1 {
			all[n-1].To = max(all[n-1].To, r.To)
			continue
		}
		all = append(all, r)
	}
	return all
}

func (q *query) flag(b *strings.Builder, flag imap.Flag, before string) error {
	if strings.EqualFold(string(flag), `\Recent`) { // nothing is
		b.WriteString(before + `0`)
		return nil
	}
	set, err := parseFlags([]imap.Flag{flag})
	if err != nil {
		return err
	}
	if set.system != 0 {
		b.WriteString(before + `(m.flags & ?)`)
		q.arg(set.system)
		return nil
	}
	b.WriteString(before + `instr(lower(m.keywords), ?)`)
	q.arg(strings.ToLower(set.keywords))
	return nil
}

// indexed are the header fields whose words are in the index, with their columns.
var indexed = map[string]string{"subject": "subject", "from": "sender", "to": "recipient", "cc": "copy"}

func (q *query) header(b *strings.Builder, name, value string) error {
	name = strings.ToLower(name)
	if name == "message-id" && value != "" {
		b.WriteString(` AND (SELECT instr(lower(c.message_id), ?) FROM mail_contents c WHERE c.id = m.content)`)
		q.arg(strings.ToLower(strings.Trim(value, "<> ")))
		return nil
	}
	if column, ok := indexed[name]; ok && value != "" {
		return q.text(b, column, value)
	}
	return q.scan(b, func(m *message.Message, blob kith.BlobID) (bool, error) {
		r, err := q.store.blobs.Open(q.ctx, blob)
		if err != nil {
			return false, err
		}
		defer r.Close()
		header, err := message.ReadHeader(r)
		if err != nil {
			return false, err
		}
		for _, field := range header {
			if strings.EqualFold(field.Name, name) && contains(message.Decode(field.Value), value) {
				return true, nil
			}
		}
		return false, nil
	})
}

func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// text looks for words in a column of the index, or in all of them.
func (q *query) text(b *strings.Builder, column, text string) error {
	if text == "" {
		return nil // everything has it
	}
	if match, ok := match(column, text); ok {
		b.WriteString(` AND m.content IN (SELECT rowid FROM mail_words WHERE mail_words MATCH ?)`)
		q.arg(match)
		return nil
	}
	return q.scan(b, func(m *message.Message, blob kith.BlobID) (bool, error) {
		e := m.Envelope
		parts := map[string]string{"subject": e.Subject, "sender": message.Addresses(e.From), "recipient": message.Addresses(e.To), "copy": message.Addresses(e.Cc)}
		if column != "body" {
			for name, part := range parts {
				if (column == "" || column == name) && contains(part, text) {
					return true, nil
				}
			}
			if column != "" {
				return false, nil
			}
		}
		body, err := q.store.Text(q.ctx, m, blob, maxWords)
		return contains(body, text), err
	})
}

// phrase returns the words of a text as a phrase of FTS5 whose last word is a beginning; false where
// the index does not know the text's words.
func phrase(text string) (string, bool) {
	var words []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) }) {
		for _, r := range word {
			if r >= 0x0e00 && r < 0x1100 || r >= 0x2e80 && r < 0xd7fb || r >= 0xf900 && r < 0xfb00 || r >= 0x20000 {
				return "", false // Thai, Chinese and others part no words
			}
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return "", false
	}
	return `"` + strings.Join(words, " ") + `" *`, true
}

// scan opens all messages of the folder.
func (q *query) scan(b *strings.Builder, meets func(*message.Message, kith.BlobID) (bool, error)) error {
	found := []imap.UID{}
	for next := imap.UID(1); ; {
		batch, err := q.store.Messages(q.ctx, q.folder, Range{next, 1<<32 - 1}, scanBatch, true)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		if q.read += len(batch); q.read > maxRead {
			return fmt.Errorf("the search would have to read more than %d messages: %w", maxRead, kith.Quota)
		}
		for _, candidate := range batch {
			var m message.Message
			if err := m.UnmarshalBinary(candidate.Summary); err != nil {
				return err
			}
			ok, err := meets(&m, candidate.Blob)
			if err != nil && !errors.Is(err, kith.NotFound) { // it may have been expunged by now
				return err
			}
			if ok {
				found = append(found, candidate.UID)
			}
		}
		if next = batch[len(batch)-1].UID + 1; next == 0 {
			break
		}
	}
	list, err := json.Marshal(found)
	if err != nil {
		return err
	}
	b.WriteString(` AND m.uid IN (SELECT value FROM json_each(?))`)
	q.arg(string(list))
	return nil
}
