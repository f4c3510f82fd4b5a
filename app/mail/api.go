package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

const (
	maxListed = 1000
	maxShown  = 1 << 20 // bytes of text
)

// An Item is a message, as the API lists it.
type Item struct {
	UID         imap.UID  `json:"uid"`
	Folder      string    `json:"folder"`
	Kind        string    `json:"kind"` // "inbox", or what the folder is for: "sent", "trash"; "" for any
	From        string    `json:"from"`
	To          string    `json:"to"`
	Subject     string    `json:"subject"`
	Received    time.Time `json:"received"`
	Size        int64     `json:"size"` // bytes
	Seen        bool      `json:"seen"`
	Attachments int       `json:"attachments"`
}

// outgoing reports whether its sender is the account itself, as that of all in its folder.
func (i Item) outgoing() bool { return i.Kind == "sent" || i.Kind == "drafts" }

// A Shown is a message that is read.
type Shown struct {
	Item
	Cc    string    `json:"cc,omitempty"`
	Date  time.Time `json:"date"`
	Files []string  `json:"files,omitempty"` // names of attachments
	Text  string    `json:"text"`
	Ways  []Way     `json:"ways,omitempty"` // to other hosts, of a message that the account sent
}

// A Way is how far a message is on its way to another host.
type Way struct {
	Host  string    `json:"host"`
	State string    `json:"state"`          // kith.LetterQueued and so on
	Held  []string  `json:"held,omitempty"` // members that have it
	Note  string    `json:"note,omitempty"` // why it is where it is, as a sentence
	Since time.Time `json:"since"`          // of the state
}

// A request names messages: of an account, without which it is the first one, in a folder, without which it
// is INBOX.
type request struct {
	Account string   `json:"account"`
	Folder  string   `json:"folder"`
	UID     imap.UID `json:"uid"`
	Limit   int      `json:"limit"`
}

// A nameRequest is about aliases and lists.
type nameRequest struct {
	Name    string `json:"name"`
	Account string `json:"account"`
	Address string `json:"address"`
}

// A settingsRequest changes what an account wants done with its mail; what is nil stays.
type settingsRequest struct {
	Account string  `json:"account"`
	Forward *string `json:"forward"`
	Keep    *bool   `json:"keep"`
	Away    *string `json:"away"`
}

func (m *mail) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /settings", kith.Answer(func(ctx context.Context, r request) (delivery.Settings, error) {
		account, err := m.account(ctx, r.Account)
		if err != nil {
			return delivery.Settings{}, err
		}
		return m.delivery.Settings(ctx, account)
	}))
	mux.Handle("PUT /settings", kith.Answer(m.changeSettings))
	mux.Handle("POST /messages", kith.Answer(m.send))
	mux.Handle("GET /messages", kith.Answer(m.list))
	mux.Handle("GET /message", kith.Answer(m.show))
	mux.Handle("GET /aliases", kith.Answer(func(ctx context.Context, _ struct{}) ([]address.Alias, error) { return m.book.Aliases(ctx) }))
	mux.Handle("PUT /aliases", kith.Answer(func(ctx context.Context, r nameRequest) (struct{}, error) {
		account, err := m.account(ctx, r.Account)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, m.book.AddAlias(ctx, address.Alias{Name: r.Name, Account: account})
	}))
	mux.Handle("DELETE /aliases", kith.Answer(func(ctx context.Context, r nameRequest) (struct{}, error) {
		return struct{}{}, m.book.RemoveAlias(ctx, r.Name)
	}))
	mux.Handle("GET /lists", kith.Answer(func(ctx context.Context, _ struct{}) ([]*address.List, error) { return m.book.Lists(ctx) }))
	mux.Handle("PUT /lists", kith.Answer(func(ctx context.Context, r nameRequest) (struct{}, error) {
		account, err := m.account(ctx, r.Account)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, m.book.AddList(ctx, r.Name, account)
	}))
	mux.Handle("DELETE /lists", kith.Answer(func(ctx context.Context, r nameRequest) (struct{}, error) {
		return struct{}{}, m.book.RemoveList(ctx, r.Name)
	}))
	mux.Handle("PUT /members", kith.Answer(func(ctx context.Context, r nameRequest) (struct{}, error) {
		return struct{}{}, m.book.Join(ctx, r.Name, r.Address)
	}))
	mux.Handle("DELETE /members", kith.Answer(func(ctx context.Context, r nameRequest) (struct{}, error) {
		return struct{}{}, m.book.Leave(ctx, r.Name, r.Address)
	}))
	return mux
}

func (m *mail) changeSettings(ctx context.Context, r settingsRequest) (delivery.Settings, error) {
	account, err := m.account(ctx, r.Account)
	if err != nil {
		return delivery.Settings{}, err
	}
	return m.delivery.ChangeSettings(ctx, account, func(s *delivery.Settings) {
		if r.Forward != nil {
			s.Forward = *r.Forward
		}
		if r.Keep != nil {
			s.Keep = *r.Keep
		}
		if r.Away != nil {
			s.Away = *r.Away
		}
	})
}

// account returns an account by its name: the first one where there is no name.
func (m *mail) account(ctx context.Context, name string) (string, error) {
	names, err := m.host.Accounts().Names(ctx)
	switch {
	case err != nil:
		return "", err
	case name == "" && len(names) > 0:
		return names[0], nil
	case !slices.Contains(names, name):
		return "", fmt.Errorf("there is no account %.60q: %w", name, kith.NotFound)
	}
	return name, nil
}

// folder returns the folder that a request means.
func (m *mail) folder(ctx context.Context, r request) (mailbox.Folder, error) {
	account, err := m.account(ctx, r.Account)
	if err != nil {
		return mailbox.Folder{}, err
	}
	if err := m.mailboxes.Prepare(ctx, account); err != nil {
		return mailbox.Folder{}, err
	}
	return m.mailboxes.Folder(ctx, account, cmp.Or(r.Folder, mailbox.Inbox))
}

// list returns the newest messages of a folder, the oldest of them first.
func (m *mail) list(ctx context.Context, r request) ([]Item, error) {
	f, err := m.folder(ctx, r)
	if err != nil {
		return nil, err
	}
	limit := min(cmp.Or(max(r.Limit, 0), 50), maxListed)
	view, err := m.mailboxes.View(ctx, f.Account, f.Name)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	if view.Count() == 0 {
		return []Item{}, nil
	}
	first := view.UID(max(view.Count()-limit, 0) + 1)
	items := []Item{}
	for len(items) < limit {
		found, err := m.mailboxes.Messages(ctx, f.ID, mailbox.Range{From: first, To: f.UIDNext}, limit-len(items), true)
		if err != nil || len(found) == 0 {
			return items, err
		}
		for _, one := range found {
			item, _, err := itemOf(one, f)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
			first = one.UID + 1
		}
	}
	return items, nil
}

func itemOf(one mailbox.Message, f mailbox.Folder) (Item, *message.Message, error) {
	parsed := new(message.Message)
	if err := parsed.UnmarshalBinary(one.Summary); err != nil {
		return Item{}, nil, err
	}
	return Item{
		UID: one.UID, Folder: f.Name, Kind: kindOf(f), From: message.Addresses(parsed.Envelope.From), To: message.Addresses(parsed.Envelope.To),
		Subject: parsed.Envelope.Subject, Received: one.Received,
		Size: one.Size, Seen: slices.Contains(one.Flags, imap.FlagSeen), Attachments: parsed.Root.Attachments(),
	}, parsed, nil
}

// show reads a message, which is then seen.
func (m *mail) show(ctx context.Context, r request) (Shown, error) {
	f, err := m.folder(ctx, r)
	if err != nil {
		return Shown{}, err
	}
	one := mailbox.Range{From: r.UID, To: r.UID}
	found, err := m.mailboxes.Messages(ctx, f.ID, one, 1, true)
	if err != nil {
		return Shown{}, err
	}
	if len(found) == 0 {
		return Shown{}, fmt.Errorf("%s has no message %d: %w", f.Name, r.UID, kith.NotFound)
	}
	item, parsed, err := itemOf(found[0], f)
	if err != nil {
		return Shown{}, err
	}
	text, err := m.mailboxes.Text(ctx, parsed, found[0].Blob, maxShown)
	if err != nil {
		return Shown{}, err
	}
	if _, err := m.mailboxes.SetFlags(ctx, f.ID, []mailbox.Range{one}, imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}); err != nil && !errors.Is(err, kith.Quota) {
		return Shown{}, err
	}
	item.Seen = true
	ways, _, err := m.ways(ctx, f.Account, parsed.Envelope.MessageID)
	if err != nil {
		return Shown{}, err
	}
	shown := Shown{
		Item: item, Cc: message.Addresses(parsed.Envelope.Cc), Date: parsed.Envelope.Date,
		Files: filesOf(parsed.Root), Text: text,
	}
	for _, w := range ways {
		shown.Ways = append(shown.Ways, Way{Host: w.Host, State: w.Letter.State, Held: w.Letter.Held, Note: w.Letter.Note, Since: w.Letter.Since})
	}
	return shown, nil
}

// filesOf returns the names of the attachments of a part.
func filesOf(p *message.Part) (names []string) {
	for _, child := range p.Parts {
		names = append(names, filesOf(child)...)
	}
	if len(p.Parts) == 0 && p.Attachments() > 0 {
		names = append(names, cmp.Or(p.Filename(), p.Media()))
	}
	return names
}
