package mail

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
	"kith.alt/kith/ui"
)

// pageSize is how many conversations a page has.
const pageSize = 50

// A listPage is a folder's conversations.
type listPage struct {
	shelf
	Folder   place
	Kind     string // "inbox", or what the folder is for: "sent", "trash"
	Rows     []row
	Older    string // the next page
	Later    bool   // it is not the first page
	Messages int
	Unread   int
	Address  string // of the account
	Undo     *undone
	Here     string // the address of the page
	CSRF     template.HTML
}

// A row is a conversation of a list, or a message of a search.
type row struct {
	Content  int64
	Href     string
	Who      string
	Draft    bool // one of its messages is
	Count    int
	Subject  string
	Snippet  string
	Folder   string // where it is, in results of a search
	Time     time.Time
	Unread   bool
	Starred  bool
	Answered bool
	Files    bool
	Mark     *mark
}

// A mark says how far a sent message is.
type mark struct{ Class, Icon, Title string }

// kind is what a folder is for, in a word.
func kindOf(f mailbox.Folder) string {
	if f.Name == mailbox.Inbox {
		return "inbox"
	}
	return strings.ToLower(strings.TrimPrefix(string(f.Use), `\`))
}

func (m *mail) screenInbox(w http.ResponseWriter, r *http.Request, v *visit) error {
	return m.showFolder(w, r, v, v.inbox())
}

func (m *mail) screenFolder(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := v.folder(r.PathValue("folder"))
	if err != nil {
		return err
	}
	return m.showFolder(w, r, v, f)
}

func (m *mail) showFolder(w http.ResponseWriter, r *http.Request, v *visit, f mailbox.Folder) error {
	var after mailbox.Cursor
	if text := r.FormValue("after"); text != "" {
		if _, err := fmt.Sscanf(text, "%d.%d", &after.Received, &after.UID); err != nil {
			return fmt.Errorf("there is no such page: %w", kith.NotFound)
		}
	}
	p, err := m.listPage(r.Context(), v, f, after)
	if err != nil {
		return err
	}
	p.Undo = m.undo.last(v.account, r.FormValue("done"))
	page := ui.Page{
		Title: title(f), Window: v.window(title(f)), Active: screenPath,
		Action: ui.Entry{Href: writeScreen, Title: "Write", Icon: "pen"},
		Body:   pages.Body("list.html", p),
	}
	if !p.Later {
		page.Live = screenPath + fmt.Sprintf("events/f/%d", f.ID)
	}
	ui.Write(w, r, http.StatusOK, page)
	return nil
}

func (m *mail) listPage(ctx context.Context, v *visit, f mailbox.Folder, after mailbox.Cursor) (listPage, error) {
	p := listPage{shelf: v.shelf(f.ID), Kind: kindOf(f), Messages: int(f.Messages), Later: after != mailbox.Cursor{}, Address: m.book.Full(v.account), CSRF: v.csrf, Here: folderPage(f.ID)}
	for _, place := range p.Folders {
		if place.Current {
			p.Folder = place
		}
	}
	p.Unread = int(f.Unseen)
	found, next, err := m.mailboxes.Conversations(ctx, f.ID, after, pageSize)
	if err != nil {
		return p, err
	}
	for _, all := range found {
		r, err := m.row(ctx, v, f, all)
		if err != nil {
			return p, err
		}
		p.Rows = append(p.Rows, r)
	}
	if next != (mailbox.Cursor{}) {
		p.Older = fmt.Sprintf("%s?after=%d.%d", p.Here, next.Received, next.UID)
	}
	return p, nil
}

// seen leaves out what a conversation does not show: what was thrown away, unless one looks there, and the second of two copies.
func (v *visit) seen(all []mailbox.Item, folder int64) (list []mailbox.Item) {
	hidden := []int64{v.use(imap.MailboxAttrTrash), v.use(imap.MailboxAttrJunk)}
	at := make(map[string]int)
	for _, i := range all {
		if i.Folder != folder && slices.Contains(hidden, i.Folder) {
			continue
		}
		key := keyOf(i)
		if n, ok := at[key]; !ok {
			at[key] = len(list)
			list = append(list, i)
		} else if i.Folder == folder {
			list[n] = i
		}
	}
	return list
}

// keyOf is the same for copies of a message.
func keyOf(i mailbox.Item) string {
	var parsed message.Message
	if parsed.UnmarshalEnvelope(i.Summary) == nil && parsed.Envelope.MessageID != "" {
		return "<" + parsed.Envelope.MessageID
	}
	return strconv.FormatInt(i.Content, 10)
}

// row draws a conversation as a folder shows it.
func (m *mail) row(ctx context.Context, v *visit, f mailbox.Folder, all []mailbox.Item) (row, error) {
	all = v.seen(all, f.ID)
	var r row
	var last mailbox.Item
	drafts := v.use(imap.MailboxAttrDrafts)
	var names []string
	for _, i := range all {
		if i.Folder == f.ID {
			last = i
			r.Unread = r.Unread || !slices.Contains(i.Flags, imap.FlagSeen)
		}
		r.Starred = r.Starred || slices.Contains(i.Flags, imap.FlagFlagged)
		r.Files = r.Files || i.Files > 0
		r.Draft = r.Draft || i.Folder == drafts
	}
	const most = 12 // authors that are looked at
	for _, i := range all[max(0, len(all)-most):] {
		var sender message.Message
		if sender.UnmarshalEnvelope(i.Summary) != nil || i.Folder == drafts {
			continue
		}
		name := "somebody"
		if from := sender.Envelope.From; len(from) > 0 {
			name = m.nameOf(from[0], v.account)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var parsed message.Message
	if err := parsed.UnmarshalEnvelope(last.Summary); err != nil {
		return r, err
	}
	e := parsed.Envelope
	r.Content, r.Href, r.Subject, r.Snippet, r.Time, r.Count = last.Content, conversationPage(last.Content, f.ID), clip(e.Subject, 200), last.Snippet, last.Received, len(all)
	r.Answered = slices.Contains(last.Flags, imap.FlagAnswered)
	switch kindOf(f) {
	case "drafts":
		r.Href, r.Draft, r.Count = draftPage(last.Content), false, 1
		r.Who = m.to(e)
	case "sent":
		r.Who = m.to(e)
		var err error
		if r.Mark, err = m.markOf(ctx, v.account, e.MessageID); err != nil {
			return r, err
		}
	default:
		r.Who = people(names)
	}
	return r, nil
}

// people names the authors of a conversation, by their first names where there are several.
func people(names []string) string {
	if len(names) > 1 {
		short := make([]string, 0, len(names))
		for _, name := range names {
			first, _, _ := strings.Cut(name, " ")
			short = append(short, first)
		}
		names = short
	}
	if len(names) > 3 {
		names = []string{names[0], "…", names[len(names)-1]}
	}
	return clip(strings.Join(names, ", "), 80)
}

// to names the recipients of a message.
func (m *mail) to(e imap.Envelope) string {
	var names []string
	for _, a := range slices.Concat(e.To, e.Cc, e.Bcc) {
		if len(names) == 3 {
			names = append(names, "…")
			break
		}
		names = append(names, m.nameOf(a, ""))
	}
	if len(names) == 0 {
		return "nobody yet"
	}
	return "To " + clip(strings.Join(names, ", "), 80)
}

// nameOf is what an author is called in a list: by the name, or the address without what is the same everywhere.
func (m *mail) nameOf(a imap.Address, account string) string {
	address := a.Mailbox + "@" + a.Host
	if account != "" && strings.EqualFold(address, m.book.Full(account)) {
		return "me"
	}
	if a.Name != "" {
		return clip(a.Name, 60)
	}
	name := m.host.Name()
	if strings.EqualFold(a.Host, name.String()) {
		return a.Mailbox
	}
	return clip(strings.TrimSuffix(address, "."+name.Group+"."+kith.Domain), 60)
}

// clip cuts a text to some characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// eventsFolder streams the first page of a folder, and the list of folders.
func (m *mail) eventsFolder(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := v.folder(r.PathValue("folder"))
	if err != nil {
		return err
	}
	return m.events(w, r, v, func(ctx context.Context) ([]ui.Fragment, error) {
		f, err := v.folder(fmt.Sprint(f.ID))
		if err != nil {
			return nil, err
		}
		p, err := m.listPage(ctx, v, f, mailbox.Cursor{})
		if err != nil {
			return nil, err
		}
		return append(p.shelf.fragments(), ui.Fragment{ID: "live-list", Body: pages.Body("live-list", p)}), nil
	})
}

// fragments are the list of folders, as it is beside the page and above it.
func (s shelf) fragments() []ui.Fragment {
	return []ui.Fragment{{ID: "live-shelf", Body: pages.Body("live-shelf", s)}, {ID: "live-shelf-narrow", Body: pages.Body("live-shelf", s)}}
}
