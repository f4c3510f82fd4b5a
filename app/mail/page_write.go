package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/app/mail/message"
	"kith.alt/kith/ui"
)

// maxQuoted is how many bytes of a message are quoted in an answer.
const maxQuoted = 64 << 10

// A writePage is the form for a message.
type writePage struct {
	*written
	shelf
	References  string
	Senders     []string // addresses that it can be from
	Suggestions []suggestion
	Problem     string
	ShowCc      bool
	Limit       int64
	Answer      bool // the cursor belongs into the text
	Back        string
	CSRF        template.HTML
}

func (m *mail) screenWrite(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	form := &written{From: m.book.Full(v.account), To: clip(q.Get("to"), maxTyped), Cc: clip(q.Get("cc"), maxTyped), Subject: clip(q.Get("subject"), maxSubject), Text: clip(q.Get("text"), maxWritten)}
	heading, err := "Write", error(nil)
	switch {
	case q.Get("draft") != "":
		form, err = m.draft(r.Context(), v, q.Get("draft"))
		heading = "Draft"
	case q.Get("reply") != "":
		form, err = m.answer(r.Context(), v, q.Get("reply"), q.Get("all") != "")
		heading = "Reply"
	case q.Get("forward") != "":
		form, err = m.passOn(r.Context(), v, q.Get("forward"))
		heading = "Forward"
	case form.To != "":
		if address, query, ok := strings.Cut(form.To, "?"); ok { // of a mailto link (RFC 6068)
			form.To = address
			if plain, err := url.PathUnescape(address); err == nil {
				form.To = plain
			}
			if more, err := url.ParseQuery(query); err == nil {
				form.Subject, form.Text = clip(more.Get("subject"), maxSubject), clip(more.Get("body"), maxWritten)
			}
		}
	}
	if err == nil && form.ID == "" {
		err = m.newID(form)
	}
	if err != nil {
		return err
	}
	return m.showWrite(w, r, v, form, heading, nil)
}

// showWrite shows the form, with what was typed and what was wrong with it.
func (m *mail) showWrite(w http.ResponseWriter, r *http.Request, v *visit, form *written, heading string, problem error) error {
	p := writePage{
		written: form, shelf: v.shelf(v.use(imap.MailboxAttrDrafts)), References: strings.Join(form.References, " "), Suggestions: m.suggestions(r.Context()), Limit: delivery.MaxMessage,
		ShowCc: form.Cc+form.Bcc+form.CcErr+form.BCE != "", Answer: form.Reply != "" || form.Draft != 0, Back: local(r.FormValue("back")), CSRF: v.csrf,
	}
	p.Senders = []string{m.book.Full(v.account)}
	if aliases, err := m.book.Aliases(r.Context()); err == nil {
		for _, a := range aliases {
			if a.Account == v.account {
				p.Senders = append(p.Senders, m.book.Full(a.Name))
			}
		}
	}
	status := http.StatusOK
	if form.ToErr+form.CcErr+form.BCE != "" {
		status = http.StatusUnprocessableEntity
		p.Problem = "It is not sent yet: an address is wrong. It is marked below."
	}
	if problem != nil {
		status, p.Problem = statusOf(problem), kith.Sentence(problem)
	}
	ui.Write(w, r, status, ui.Page{
		Title: heading, Window: v.window(heading), Active: screenPath, Back: ui.Entry{Href: p.Back, Title: "Mail"},
		Body: pages.Body("write.html", p),
	})
	return nil
}

// original reads a message that is answered or passed on.
func (m *mail) original(ctx context.Context, v *visit, number string) (*message.Message, string, error) {
	item, parsed, err := m.one(ctx, v, number)
	if err != nil {
		return nil, "", err
	}
	bytes, err := m.mailboxes.Open(ctx, item.Blob)
	if err != nil {
		return nil, "", err
	}
	defer bytes.Close()
	text, err := m.plain(bytes, parsed, maxQuoted)
	if parsed.Envelope.Date.IsZero() {
		parsed.Envelope.Date = item.Received
	}
	return parsed, strings.Trim(text, "\n"), err
}

// answer begins a reply to a message: to its author, or to all who had it.
func (m *mail) answer(ctx context.Context, v *visit, number string, all bool) (*written, error) {
	parsed, text, err := m.original(ctx, v, number)
	if err != nil {
		return nil, err
	}
	e := parsed.Envelope
	w := &written{From: m.book.Full(v.account), Reply: idOf(e.MessageID), Subject: "Re: " + withoutPrefix(e.Subject)}
	w.References = ancestors(parsed)
	to := e.ReplyTo
	if len(to) == 0 {
		to = e.From
	}
	if len(to) > 0 && !slices.ContainsFunc(to, func(a imap.Address) bool { return !m.own(ctx, v, a) }) && len(e.To) > 0 {
		to = e.To // an answer to what one has sent goes on to the same people
	}
	others := slices.Concat(e.To, e.Cc)
	for _, a := range slices.Concat(e.To, e.Cc) { // it was sent to one of the account's other names
		if address := a.Mailbox + "@" + a.Host; m.own(ctx, v, a) {
			w.From = address
			break
		}
	}
	var used []string
	add := func(list []imap.Address) string {
		var names []string
		for _, a := range list {
			address := strings.ToLower(a.Mailbox + "@" + a.Host)
			if slices.Contains(used, address) || len(used) > 0 && m.own(ctx, v, a) || len(used) >= delivery.MaxRecipients {
				continue
			}
			used = append(used, address)
			names = append(names, typed(a))
		}
		return strings.Join(names, ", ")
	}
	w.To = add(to)
	if all {
		w.Cc = add(others)
	}
	from := "somebody"
	if len(e.From) > 0 {
		from = typed(e.From[0])
	}
	w.Text = "\n\nOn " + e.Date.Format("Monday 2 January 2006 at 15:04") + ", " + oneLine(from) + " wrote:\n" + quote(text)
	return w, nil
}

// ancestors returns the References of an answer (RFC 5322 3.6.4).
func ancestors(parsed *message.Message) (list []string) {
	parents := parsed.References
	if len(parents) == 0 && len(parsed.Envelope.InReplyTo) == 1 {
		parents = parsed.Envelope.InReplyTo
	}
	for _, id := range append(slices.Clone(parents), parsed.Envelope.MessageID) {
		if id = idOf(id); id != "" {
			list = append(list, id)
		}
	}
	if n := len(list); n > maxAncestors {
		list = append(list[:1:1], list[n-maxAncestors+1:]...)
	}
	return list
}

// typed writes an address as people type it.
func typed(a imap.Address) string {
	address := a.Mailbox + "@" + a.Host
	name := oneLine(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`"\<>,;:()[]`, r) {
			return ' '
		}
		return r
	}, a.Name))
	if name == "" {
		return address
	}
	return name + " <" + address + ">"
}

func quote(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, ">") {
			b.WriteString(">" + line + "\n")
		} else {
			b.WriteString(strings.TrimRight("> "+line, " \r") + "\n")
		}
	}
	return b.String()
}

// passOn begins a message that passes on another, with its files.
func (m *mail) passOn(ctx context.Context, v *visit, number string) (*written, error) {
	parsed, text, err := m.original(ctx, v, number)
	if err != nil {
		return nil, err
	}
	e := parsed.Envelope
	w := &written{From: m.book.Full(v.account), Forwarded: idOf(e.MessageID), References: ancestors(parsed), Subject: "Fwd: " + withoutPrefix(e.Subject)}
	var b strings.Builder
	b.WriteString("\n\n---------- Forwarded message ----------\n")
	for _, line := range []struct {
		name string
		list []imap.Address
	}{{"From", e.From}, {"To", e.To}, {"Cc", e.Cc}} {
		var names []string
		for _, a := range line.list[:min(len(line.list), 20)] {
			names = append(names, typed(a))
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", line.name, strings.Join(names, ", "))
		}
	}
	fmt.Fprintf(&b, "Date: %s\nSubject: %s\n\n%s\n", e.Date.Format("Monday 2 January 2006 at 15:04"), e.Subject, text)
	w.Text = b.String()
	list, err := m.mailboxes.Content(ctx, v.account, mustNumber(number))
	if err != nil {
		return nil, err
	}
	w.Carried, err = carriedOf(list[0])
	return w, err
}

// mustNumber returns a number that has been read before.
func mustNumber(text string) int64 {
	n, _ := number(text)
	return n
}

// A kept is what the script of the form is told.
type kept struct {
	Draft   int64     `json:"draft"`
	ID      string    `json:"id"`
	Carried []carried `json:"files"`
	Problem string    `json:"problem,omitempty"`
}

// formWrite keeps a message, sends it, or throws it away.
func (m *mail) formWrite(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	script := strings.HasPrefix(r.Header.Get("Accept"), "application/json")
	form, err := m.read(r, v)
	if r.MultipartForm != nil {
		defer r.MultipartForm.RemoveAll() // the server does so for its own request alone
	}
	if form == nil {
		return err
	}
	back := local(r.PostFormValue("back"))
	do := r.PostFormValue("do")
	if do == "send" { // twice at the same time it goes once
		m.sending.Lock()
		defer m.sending.Unlock()
	}
	if err == nil && do != "discard" {
		if err = m.meet(ctx, v, form); errors.Is(err, kith.Exists) {
			if failed := m.keep(ctx, v, form); failed != nil { // so that its files are there when it is sent
				err = failed
			}
		}
	}
	switch {
	case err != nil:
	case do == "discard":
		if err := m.discard(ctx, v, form.Draft); err != nil {
			return err
		}
		ui.Redirect(w, r, back, "The draft is thrown away.")
		return nil
	case do == "send":
		sent, failed := m.post(ctx, v, form)
		if sent {
			if failed != nil {
				m.host.Log().Warn("a draft that was sent is still there", "err", failed)
			}
			count := len(splitList(form.To)) + len(splitList(form.Cc)) + len(splitList(form.Bcc))
			ui.Redirect(w, r, back, "The message to "+ui.Plural(count, "recipient", "recipients")+" is on its way.")
			return nil
		}
		err = failed
		if kept := m.keep(ctx, v, form); err == nil { // so that its files are there when it is sent again
			err = kept
		}
	default:
		err = m.keep(ctx, v, form)
	}
	switch {
	case script:
	case err == nil && do != "send":
		ui.Redirect(w, r, draftPage(form.Draft)+"&"+url.Values{"back": {back}}.Encode(), "Kept in Drafts.")
		return nil
	default:
		return m.showWrite(w, r, v, form, "Write", err)
	}
	answer := kept{Draft: form.Draft, ID: form.ID, Carried: form.Carried}
	status := http.StatusOK
	if err != nil {
		status, answer.Problem = statusOf(err), kith.Sentence(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(answer)
}
