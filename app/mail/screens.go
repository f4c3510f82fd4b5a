package mail

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/ui"
)

// Where the dashboard shows the screens.
const (
	screenPath     = "/mail/"
	writeScreen    = screenPath + "write"
	searchScreen   = screenPath + "search"
	foldersScreen  = screenPath + "folders"
	settingsScreen = screenPath + "settings"
	programsScreen = "/settings/programs" // of the dashboard
)

func folderPage(id int64) string { return screenPath + "f/" + strconv.FormatInt(id, 10) }

// conversationPage is where a message is shown among those that belong to it, come to from a folder.
func conversationPage(content, folder int64) string {
	address := screenPath + "c/" + strconv.FormatInt(content, 10)
	if folder != 0 {
		address += "?f=" + strconv.FormatInt(folder, 10)
	}
	return address
}

func messagePath(content int64) string { return screenPath + "m/" + strconv.FormatInt(content, 10) }

func writeTo(address string) string {
	return writeScreen + "?" + url.Values{"to": {address}}.Encode()
}

//go:embed templates
var templateFiles embed.FS

var pages = ui.ParseWith(template.FuncMap{"mailasset": assets.Asset, "toField": newToField}, templateFiles, "templates/*.html")

// A toField is an input for recipients.
type toField struct {
	Name, Label, Value, Error string
	Focus                     bool
}

func newToField(name, label, value, problem string, focus bool) toField {
	return toField{name, label, value, problem, focus}
}

func (m *mail) screens() []kith.Screen {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, *visit) error{
		"GET /{$}":                     m.screenInbox,
		"GET /f/{folder}":              m.screenFolder,
		"GET /c/{content}":             m.screenConversation,
		"GET /m/{content}/html":        m.messageHTML,
		"GET /m/{content}/source":      m.messageSource,
		"GET /m/{content}/part/{part}": m.messagePart,
		"GET /search":                  m.screenSearch,
		"GET /write":                   m.screenWrite,
		"POST /write":                  m.formWrite,
		"POST /act":                    m.formAct,
		"POST /undo":                   m.formUndo,
		"GET /folders":                 m.screenFolders,
		"POST /folders":                m.formFolders,
		"GET /f/{folder}/empty":        m.screenEmpty,
		"POST /f/{folder}/empty":       m.formEmpty,
		"GET /settings":                m.screenSettings,
		"POST /settings":               m.formSettings,
		"POST /settings/{what}":        m.formNames,
		"GET /events/f/{folder}":       m.eventsFolder,
		"GET /events/c/{content}":      m.eventsConversation,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { m.visited(w, r, handle) })
	}
	mux.Handle("GET /-/{name}", assets)
	return []kith.Screen{{Path: "/", Title: "Mail", Icon: "letter", Handler: mux, Unseen: m.unseen}}
}

// A visit is a request of somebody who is signed in. All that it shows and changes is his: folders are found among
// his own, messages by his account.
type visit struct {
	account string
	folders []mailbox.Folder // his, as people are shown them
	csrf    template.HTML
}

// visited finds out whose mail a request is about, and answers it.
func (m *mail) visited(w http.ResponseWriter, r *http.Request, handle func(http.ResponseWriter, *http.Request, *visit) error) {
	v := &visit{account: ui.Account(r), csrf: ui.CSRF(r)}
	err := error(nil)
	if v.account == "" {
		err = fmt.Errorf("nobody is signed in, so there is no mail to show: %w", kith.Denied)
	}
	if err == nil {
		err = m.mailboxes.Prepare(r.Context(), v.account)
	}
	if err == nil {
		err = v.load(r.Context(), m)
	}
	if err == nil {
		err = handle(w, r, v)
	}
	if err != nil && r.Context().Err() == nil {
		m.refuse(w, r, err)
	}
}

// load reads the folders.
func (v *visit) load(ctx context.Context, m *mail) error {
	folders, err := m.mailboxes.Folders(ctx, v.account)
	if err != nil {
		return err
	}
	slices.SortStableFunc(folders, func(a, b mailbox.Folder) int { return rank(a) - rank(b) })
	v.folders = folders
	return nil
}

var order = []imap.MailboxAttr{imap.MailboxAttrDrafts, imap.MailboxAttrSent, imap.MailboxAttrArchive, imap.MailboxAttrJunk, imap.MailboxAttrTrash}

// rank has the folders that everybody knows stand first.
func rank(f mailbox.Folder) int {
	if f.Name == mailbox.Inbox {
		return 0
	}
	if i := slices.Index(order, f.Use); i >= 0 && f.Use != "" {
		return i + 1
	}
	return len(order) + 1
}

// folder returns a folder by the number in an address. It fails with kind NotFound for those of others, too.
func (v *visit) folder(text string) (mailbox.Folder, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	for _, f := range v.folders {
		if err == nil && f.ID == id {
			return f, nil
		}
	}
	return mailbox.Folder{}, fmt.Errorf("there is no such folder; it may have been deleted: %w", kith.NotFound)
}

// use returns the ID of the folder for something, 0 where there is none.
func (v *visit) use(use imap.MailboxAttr) int64 {
	for _, f := range v.folders {
		if f.Use == use {
			return f.ID
		}
	}
	return 0
}

// inbox returns the folder that mail comes into.
func (v *visit) inbox() mailbox.Folder { return v.folders[0] }

// special returns the folder for something, and makes it where somebody has deleted it.
func (m *mail) special(ctx context.Context, v *visit, use imap.MailboxAttr) (mailbox.Folder, error) {
	name := map[imap.MailboxAttr]string{imap.MailboxAttrDrafts: mailbox.Drafts, imap.MailboxAttrArchive: mailbox.Archive, imap.MailboxAttrJunk: mailbox.Junk, imap.MailboxAttrTrash: mailbox.Trash}[use]
	for range 2 {
		for _, f := range v.folders {
			if f.Use == use || v.use(use) == 0 && f.Name == name {
				return f, nil
			}
		}
		if err := m.mailboxes.Create(ctx, v.account, name, use); err != nil && !errors.Is(err, kith.Exists) {
			return mailbox.Folder{}, err
		}
		if err := v.load(ctx, m); err != nil {
			return mailbox.Folder{}, err
		}
	}
	return mailbox.Folder{}, fmt.Errorf("there is no folder %s: %w", name, kith.NotFound)
}

// title is how people are told of a folder.
func title(f mailbox.Folder) string {
	if f.Name == mailbox.Inbox {
		return "Inbox"
	}
	return f.Name
}

func iconOf(f mailbox.Folder) string {
	if f.Name == mailbox.Inbox {
		return "inbox"
	}
	switch f.Use {
	case imap.MailboxAttrDrafts:
		return "file"
	case imap.MailboxAttrSent:
		return "sent"
	case imap.MailboxAttrArchive:
		return "archive"
	case imap.MailboxAttrJunk:
		return "junk"
	case imap.MailboxAttrTrash:
		return "trash"
	}
	return "folder"
}

// A shelf is the list of folders beside a page.
type shelf struct {
	Folders []place
	Current string // title of the one that is shown
	Unread  int    // in it
	Query   string // in the box for searches
	Problem string // of the query
}

// A place is a folder in the list.
type place struct {
	Href, Title, Icon string
	ID                int64
	Level             int // below others
	Unread            int
	Count             int
	Current           bool
}

func (v *visit) shelf(current int64) shelf {
	s := shelf{Current: "Folders"}
	for _, f := range v.folders {
		p := place{Href: folderPage(f.ID), Title: title(f), Icon: iconOf(f), ID: f.ID, Unread: int(f.Unseen), Count: int(f.Messages), Current: f.ID == current}
		if f.Name == mailbox.Inbox {
			p.Href = screenPath
		}
		if i := strings.LastIndexByte(f.Name, mailbox.Separator); i >= 0 {
			p.Title, p.Level = f.Name[i+1:], min(strings.Count(f.Name, string(mailbox.Separator)), 3)
		}
		switch f.Use {
		case imap.MailboxAttrDrafts:
			p.Unread = int(f.Messages) // all of them wait
		case imap.MailboxAttrSent, imap.MailboxAttrTrash, imap.MailboxAttrArchive:
			p.Unread = 0
		}
		if p.Current {
			s.Current, s.Unread = title(f), p.Unread
		}
		s.Folders = append(s.Folders, p)
	}
	return s
}

// unseen counts what is unread in the inbox of an account.
func (m *mail) unseen(ctx context.Context, account string) (int, error) {
	f, err := m.mailboxes.Folder(ctx, account, mailbox.Inbox)
	if errors.Is(err, kith.NotFound) { // nobody has looked at it yet
		return 0, nil
	}
	return int(f.Unseen), err
}

// window is the title of the window: with what is unread in the inbox.
func (v *visit) window(text string) string {
	if n := v.inbox().Unseen; n > 0 {
		return fmt.Sprintf("(%d) %s", n, text)
	}
	return text
}

// events streams the fragments of a page; draw is asked for them when mail or a letter has changed.
func (m *mail) events(w http.ResponseWriter, r *http.Request, v *visit, draw func(context.Context) ([]ui.Fragment, error)) error {
	var before string
	var fragments []ui.Fragment
	var letters <-chan struct{}
	m.streams.Serve(w, r, time.Second, func(ctx context.Context) ([]ui.Fragment, error) {
		if err := v.load(ctx, m); err != nil {
			return nil, err
		}
		var now strings.Builder
		for _, f := range v.folders {
			fmt.Fprintf(&now, "%d %d %s\n", f.ID, f.ModSeq, f.Name)
		}
		changed := now.String() != before || letters == nil
		select {
		case <-letters:
			changed = true
		default:
		}
		if !changed {
			return fragments, nil
		}
		before, letters = now.String(), m.host.Post().Changed()
		var err error
		fragments, err = draw(ctx)
		return fragments, err
	})
	return nil
}

// refuse answers with a page that says why something is not shown, or was not done.
func (m *mail) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		m.host.Log().Error("mail in the dashboard", "err", err)
	}
	ui.Message(w, r, status, "Mail", kith.Sentence(err))
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, kith.NotFound):
		return http.StatusNotFound
	case errors.Is(err, kith.Denied):
		return http.StatusForbidden
	case errors.Is(err, kith.Exists):
		return http.StatusConflict
	case errors.Is(err, kith.Invalid), errors.Is(err, kith.Quota):
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// errNoMessage is for an address that names none of the account.
var errNoMessage = fmt.Errorf("there is no such message; it may have been deleted: %w", kith.NotFound)

// number reads the number of a message in an address.
func number(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, errNoMessage
	}
	return n, nil
}

// local returns an address of these screens that a form asks to go back to, otherwise the inbox.
func local(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, screenPath) || strings.Contains(u.Path, "..") || strings.ContainsAny(address, "\\\r\n") {
		return screenPath
	}
	return address
}
