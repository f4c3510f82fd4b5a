package mail

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
	"kith.alt/kith/ui"
)

// maxFound is how many messages a search shows.
const maxFound = 100

// A searchPage is what a search has found.
type searchPage struct {
	shelf
	Kind string // "search"
	Rows []row
	More bool
	Undo *undone
	Here string
	CSRF template.HTML
}

func (m *mail) screenSearch(w http.ResponseWriter, r *http.Request, v *visit) error {
	text := strings.TrimSpace(r.FormValue("q"))
	p := searchPage{shelf: v.shelf(0), Kind: "search", Undo: m.undo.last(v.account, r.FormValue("done")), Here: searchScreen + "?" + url.Values{"q": {text}}.Encode(), CSRF: v.csrf}
	p.Query, p.Current = text, "Folders"
	status := http.StatusOK
	if text != "" {
		err := m.find(r, v, text, &p)
		if errors.Is(err, kith.Invalid) || errors.Is(err, kith.Quota) {
			p.Problem, status = kith.Sentence(err), http.StatusUnprocessableEntity
		} else if err != nil {
			return err
		}
	}
	ui.Write(w, r, status, ui.Page{
		Title: "Search", Window: v.window("Search"), Active: screenPath,
		Action: ui.Entry{Href: writeScreen, Title: "Write", Icon: "pen"},
		Body:   pages.Body("search.html", p),
	})
	return nil
}

func (m *mail) find(r *http.Request, v *visit, text string, p *searchPage) error {
	q, err := parseQuery(text)
	if err != nil {
		return err
	}
	folders, err := v.within(q.In)
	if err != nil {
		return err
	}
	found, more, err := m.mailboxes.Find(r.Context(), folders, &q.Criteria, q.Files, maxFound)
	if err != nil {
		return err
	}
	p.More = more
	for _, i := range found {
		var parsed message.Message
		if err := parsed.UnmarshalEnvelope(i.Summary); err != nil {
			return err
		}
		e := parsed.Envelope
		line := row{
			Content: i.Content, Href: fmt.Sprintf("%s&open=%d#m%d", conversationPage(i.Content, i.Folder), i.Content, i.Content), Who: "somebody", Count: 1, Subject: clip(e.Subject, 200), Snippet: i.Snippet, Time: i.Received,
			Unread: !slices.Contains(i.Flags, imap.FlagSeen), Starred: slices.Contains(i.Flags, imap.FlagFlagged), Files: i.Files > 0, Answered: slices.Contains(i.Flags, imap.FlagAnswered),
		}
		if len(e.From) > 0 {
			line.Who = m.nameOf(e.From[0], v.account)
		}
		for _, f := range v.folders {
			if f.ID != i.Folder {
				continue
			}
			line.Folder = title(f)
			switch kindOf(f) {
			case "drafts":
				line.Href, line.Who = draftPage(i.Content), m.to(e)
			case "sent":
				line.Who = m.to(e)
			}
		}
		p.Rows = append(p.Rows, line)
	}
	return nil
}

// within returns the folders that a search is in: those that a name means, or all but Junk and Trash. It fails with kind
// Invalid.
func (v *visit) within(name string) (list []int64, err error) {
	for _, f := range v.folders {
		hidden := f.Use == imap.MailboxAttrJunk || f.Use == imap.MailboxAttrTrash
		switch {
		case name == "" && !hidden, strings.EqualFold(name, "anywhere"),
			strings.EqualFold(name, f.Name), strings.EqualFold(name, f.Name[strings.LastIndexByte(f.Name, mailbox.Separator)+1:]):
			list = append(list, f.ID)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no folder %.60q: %w", name, kith.Invalid)
	}
	return list, nil
}
