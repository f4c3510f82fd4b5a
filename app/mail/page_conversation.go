package mail

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
	"kith.alt/kith/ui"
)

// Limits of what a page shows of a conversation.
const (
	maxOpened    = 2 << 20   // bytes of text of all its messages; the rest stays folded
	maxTextShown = 256 << 10 // of one
	maxPeople    = 6         // recipients in sight
	maxFiles     = 24        // attachments in sight
)

// A conversation is a page: its messages, as it is come to from a folder.
type conversation struct {
	shelf
	Folder   place
	Kind     string
	Subject  string
	Content  int64 // of the message that it was asked for by
	Messages []shown
	Folded   int // of them
	Starred  bool
	OpenAll  string // where all are in sight
	Back     string
	Here     string
	CSRF     template.HTML
}

// A shown is a message of a conversation.
type shown struct {
	Content   int64
	From      person
	To, Cc    []person
	MoreTo    []person // folded
	Date      time.Time
	Received  time.Time
	Subject   string // where it is not that of the conversation
	Snippet   string
	Unread    bool
	Starred   bool
	Draft     bool
	Folder    string // where it is, if not in the folder that one came from
	Folded    bool
	Unfold    string // where it is not
	Body      body
	Ways      []way
	MoreWays  int
	OwnSent   bool
	Last      bool
	Path      string // of its parts
	ReplyAll  bool   // there are others to answer to
	DraftPage string
}

// A person is an author or a recipient.
type person struct{ Name, Address string }

// Write is where a message to an address is written.
func (c *conversation) Write(address string) string { return writeTo(address) }

// Shown is the address of the page where a message is shown as text, or as it was designed.
func (c *conversation) Shown(how string, content int64) string {
	text := strconv.FormatInt(content, 10)
	u, err := url.Parse(c.Here)
	if err != nil {
		return c.Here
	}
	q := u.Query()
	q["text"] = slices.DeleteFunc(q["text"], func(one string) bool { return one == text })
	if how != "" {
		q.Add("text", text)
	}
	if !slices.Contains(q["open"], text) {
		q.Add("open", text)
	}
	u.RawQuery, u.Fragment = q.Encode(), "m"+text
	return u.String()
}

func personOf(a imap.Address) person {
	address := clip(a.Mailbox+"@"+a.Host, 254)
	return person{Name: clip(cmp.Or(a.Name, a.Mailbox), 100), Address: address}
}

func (m *mail) screenConversation(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := m.conversation(r.Context(), v, r.PathValue("content"), r.URL.Query())
	if err != nil {
		return err
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: cmp.Or(clip(p.Subject, 200), "No subject"), Window: v.window(cmp.Or(clip(p.Subject, 80), "No subject")), Active: screenPath, Frames: true,
		Back: ui.Entry{Href: p.Back, Title: cmp.Or(p.Folder.Title, "Inbox")},
		Live: screenPath + "events/c/" + r.PathValue("content"),
		Body: pages.Body("conversation.html", p),
	})
	return nil
}

// conversation reads the one that a message is in. Those of its messages that are in sight are read from then on.
func (m *mail) conversation(ctx context.Context, v *visit, text string, query url.Values) (*conversation, error) {
	content, err := number(text)
	if err != nil {
		return nil, err
	}
	all, err := m.mailboxes.Conversation(ctx, v.account, content)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(i mailbox.Item) bool { return i.Content == content })
	folder := all[max(at, 0)].Folder
	if f, err := v.folder(query.Get("f")); err == nil {
		folder = f.ID
	}
	list := v.seen(all, folder)
	if len(list) == 0 {
		return nil, errNoMessage
	}
	p := &conversation{shelf: v.shelf(folder), Content: content, Back: folderPage(folder), CSRF: v.csrf}
	for i, place := range p.Folders {
		if place.Current {
			p.Folder, p.Kind, p.Back = place, kindOf(v.folders[i]), place.Href
		}
	}
	query.Del("done")
	p.Here = screenPath + "c/" + text + "?" + query.Encode()
	opened, read := 0, make(map[string]bool)
	for i, item := range list {
		unread := !slices.Contains(item.Flags, imap.FlagSeen)
		wanted := unread || i == len(list)-1 || item.Content == content || query.Get("open") == "all" || slices.Contains(query["open"], strconv.FormatInt(item.Content, 10))
		s, err := m.shown(ctx, v, item, folder, wanted && opened < maxOpened, slices.Contains(query["text"], strconv.FormatInt(item.Content, 10)))
		if err != nil {
			return nil, err
		}
		if p.Subject == "" {
			p.Subject = withoutPrefix(s.Subject)
		}
		if withoutPrefix(s.Subject) == withoutPrefix(p.Subject) {
			s.Subject = ""
		}
		p.Starred = p.Starred || s.Starred
		s.Last = i == len(list)-1
		if s.Folded {
			p.Folded++
			more := url.Values{"f": query["f"], "open": append(slices.Clone(query["open"]), strconv.FormatInt(item.Content, 10))}
			s.Unfold = screenPath + "c/" + text + "?" + more.Encode() + "#m" + strconv.FormatInt(item.Content, 10)
		} else {
			opened += s.Body.Size
			read[keyOf(item)] = true
		}
		p.Messages = append(p.Messages, s)
	}
	p.OpenAll = screenPath + "c/" + text + "?" + url.Values{"f": query["f"], "open": {"all"}}.Encode()
	seen := make(map[int64][]imap.UID)
	for _, item := range all { // with copies that are not shown
		if read[keyOf(item)] && !slices.Contains(item.Flags, imap.FlagSeen) {
			seen[item.Folder] = append(seen[item.Folder], item.UID)
		}
	}
	for folder, uids := range seen { // what cannot be noted, as on a full disk, is unread again next time
		if _, err := m.mailboxes.SetFlags(ctx, folder, ranges(uids), imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}); err != nil {
			m.host.Log().Warn("mail is not marked as read", "err", err)
		}
	}
	if len(seen) > 0 {
		if err := v.load(ctx, m); err != nil {
			return nil, err
		}
		p.shelf = v.shelf(folder)
	}
	return p, nil
}

// shown describes a message of a conversation, and reads it where it is open.
func (m *mail) shown(ctx context.Context, v *visit, item mailbox.Item, folder int64, open, text bool) (shown, error) {
	var parsed message.Message
	if err := parsed.UnmarshalBinary(item.Summary); err != nil {
		return shown{}, err
	}
	e := parsed.Envelope
	s := shown{
		Content: item.Content, Date: e.Date, Received: item.Received, Subject: clip(e.Subject, 300), Snippet: item.Snippet, Path: messagePath(item.Content),
		Unread: !slices.Contains(item.Flags, imap.FlagSeen), Starred: slices.Contains(item.Flags, imap.FlagFlagged), Folded: !open,
		Draft: item.Folder == v.use(imap.MailboxAttrDrafts), DraftPage: draftPage(item.Content),
	}
	if s.Date.IsZero() {
		s.Date = item.Received
	}
	s.From = person{Name: "Somebody"}
	if len(e.From) > 0 {
		s.From = personOf(e.From[0])
	}
	if item.Folder != folder {
		for _, f := range v.folders {
			if f.ID == item.Folder {
				s.Folder = title(f)
			}
		}
	}
	for _, a := range e.To {
		s.To = append(s.To, personOf(a))
	}
	for _, a := range e.Cc {
		s.Cc = append(s.Cc, personOf(a))
	}
	s.ReplyAll = len(s.To)+len(s.Cc) > 1
	if rest := max(0, len(s.To)-maxPeople); rest > 0 {
		s.To, s.MoreTo = s.To[:maxPeople], s.To[maxPeople:]
	}
	if len(s.To)+len(s.Cc) > 2*maxPeople {
		s.MoreTo, s.Cc = append(s.MoreTo, s.Cc...), nil
	}
	if !open {
		list := []mailbox.Item{item}
		err := m.mailboxes.Describe(ctx, list)
		s.Snippet = list[0].Snippet
		return s, err
	}
	var err error
	if s.Body, err = m.body(ctx, item, &parsed, text); err != nil {
		return s, err
	}
	if item.Folder == v.use(imap.MailboxAttrSent) || strings.EqualFold(s.From.Address, m.book.Full(v.account)) {
		s.OwnSent = true
		s.Ways, s.MoreWays, err = m.ways(ctx, v.account, e.MessageID)
	}
	return s, err
}

// withoutPrefix returns a subject without what answers and copies put before it.
func withoutPrefix(subject string) string {
	for {
		subject = strings.TrimSpace(subject)
		prefix, rest, ok := strings.Cut(subject, ":")
		if !ok || !slices.Contains([]string{"re", "fw", "fwd", "aw", "wg"}, strings.ToLower(prefix)) {
			return subject
		}
		subject = rest
	}
}

// eventsConversation streams how far its sent messages are, and the list of folders.
func (m *mail) eventsConversation(w http.ResponseWriter, r *http.Request, v *visit) error {
	content, err := number(r.PathValue("content"))
	if err != nil {
		return err
	}
	if _, err := m.mailboxes.Conversation(r.Context(), v.account, content); err != nil {
		return err
	}
	return m.events(w, r, v, func(ctx context.Context) ([]ui.Fragment, error) {
		all, err := m.mailboxes.Conversation(ctx, v.account, content)
		if err != nil {
			return nil, err
		}
		fragments := v.shelf(0).fragments()[:0]
		for _, i := range all {
			var parsed message.Message
			if err := parsed.UnmarshalEnvelope(i.Summary); err != nil {
				continue
			}
			ways, more, err := m.ways(ctx, v.account, parsed.Envelope.MessageID)
			if err != nil {
				return nil, err
			}
			if len(ways) > 0 {
				fragments = append(fragments, ui.Fragment{ID: fmt.Sprintf("live-ways-%d", i.Content), Body: pages.Body("ways", shown{Ways: ways, MoreWays: more})})
			}
		}
		return fragments, nil
	})
}

// one returns a message by the number in an address.
func (m *mail) one(ctx context.Context, v *visit, text string) (mailbox.Item, *message.Message, error) {
	content, err := number(text)
	if err != nil {
		return mailbox.Item{}, nil, err
	}
	list, err := m.mailboxes.Content(ctx, v.account, content)
	if err != nil {
		return mailbox.Item{}, nil, err
	}
	parsed := new(message.Message)
	if err := parsed.UnmarshalBinary(list[0].Summary); err != nil {
		return mailbox.Item{}, nil, fmt.Errorf("message %d: %w", content, err)
	}
	return list[0], parsed, nil
}
