package mail

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/ui"
)

// A settingsPage is what an account wants done with its mail, and the names that it has.
type settingsPage struct {
	shelf
	Address       string
	Forward, Away ui.Field
	Keep          bool
	Aliases       []address.Alias // of the account
	Lists         []*address.List
	Alias, List   ui.Field
	Member        ui.Field
	Wrong         string // the list whose member was wrong
	Suggestions   []suggestion
	Host          string
	CSRF          template.HTML
}

func (m *mail) screenSettings(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := m.settingsPage(r.Context(), v)
	if err != nil {
		return err
	}
	return m.showSettings(w, r, v, http.StatusOK, p)
}

func (m *mail) settingsPage(ctx context.Context, v *visit) (*settingsPage, error) {
	s, err := m.delivery.Settings(ctx, v.account)
	if err != nil {
		return nil, err
	}
	p := &settingsPage{shelf: v.shelf(0), Address: m.book.Full(v.account), Keep: s.Keep || s.Forward == "", Suggestions: m.suggestions(ctx), Host: m.host.Name().Host, CSRF: v.csrf}
	p.Forward = ui.Field{Name: "forward", Label: "Forward to", Value: s.Forward, MaxLength: 254, Autocomplete: "off", Hint: "An address of the group. Empty: mail stays here."}
	p.Away = ui.Field{Name: "away", Label: "Answer while you are away", Value: s.Away, Rows: 5, MaxLength: 4000, Hint: "Who writes to you gets this, at most once a week. Empty: nobody is answered."}
	p.Alias = ui.Field{Name: "name", Label: "Another name", Required: true, MaxLength: kith.MaxLabel, Autocomplete: "off"}
	p.List = ui.Field{Name: "name", Label: "Name of a new list", Required: true, MaxLength: kith.MaxLabel, Autocomplete: "off"}
	p.Member = ui.Field{}
	aliases, err := m.book.Aliases(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range aliases {
		if a.Account == v.account {
			p.Aliases = append(p.Aliases, a)
		}
	}
	lists, err := m.book.Lists(ctx)
	for _, l := range lists {
		if l.Owner == v.account {
			p.Lists = append(p.Lists, l)
		}
	}
	return p, err
}

func (m *mail) showSettings(w http.ResponseWriter, r *http.Request, v *visit, status int, p *settingsPage) error {
	ui.Write(w, r, status, ui.Page{
		Title: "Mail settings", Window: v.window("Mail settings"), Active: screenPath, Back: ui.Entry{Href: screenPath, Title: "Inbox"},
		Lead: "For " + p.Address + ".", Body: pages.Body("settings.html", p),
	})
	return nil
}

// formSettings changes what is done with mail that comes.
func (m *mail) formSettings(w http.ResponseWriter, r *http.Request, v *visit) error {
	forward, away := strings.TrimSpace(r.PostFormValue("forward")), strings.TrimSpace(r.PostFormValue("away"))
	_, err := m.delivery.ChangeSettings(r.Context(), v.account, func(s *delivery.Settings) {
		s.Forward, s.Keep, s.Away = forward, r.PostFormValue("keep") != "", away
	})
	if err == nil {
		ui.Redirect(w, r, settingsScreen, "The settings hold from now on.")
		return nil
	}
	p, failed := m.settingsPage(r.Context(), v)
	if failed != nil {
		return failed
	}
	p.Forward.Value, p.Away.Value, p.Keep = forward, away, r.PostFormValue("keep") != ""
	field := &p.Forward
	if errors.Is(err, kith.Quota) || forward == "" {
		field = &p.Away
	}
	field.Error = kith.Sentence(err)
	return m.showSettings(w, r, v, statusOf(err), p)
}

// formNames changes the other names of the account, and the lists that it owns.
func (m *mail) formNames(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, what := r.Context(), r.PathValue("what")
	name, member := strings.ToLower(strings.TrimSpace(r.PostFormValue("name"))), strings.TrimSpace(r.PostFormValue("member"))
	p, err := m.settingsPage(ctx, v)
	if err != nil {
		return err
	}
	mine := what == "alias" || what == "list"
	for _, a := range p.Aliases {
		mine = mine || what == "unalias" && a.Name == name
	}
	for _, l := range p.Lists {
		mine = mine || l.Name == name && (what == "unlist" || what == "join" || what == "leave")
	}
	if !mine {
		return fmt.Errorf("%.60q is nothing of %s: %w", name, v.account, kith.NotFound)
	}
	done := ""
	field := &p.Alias
	switch what {
	case "alias":
		if err = kith.CheckPersonal(name); err == nil {
			err, done = m.book.AddAlias(ctx, address.Alias{Name: name, Account: v.account}), m.book.Full(name)+" is yours."
		}
	case "unalias":
		err, done = m.book.RemoveAlias(ctx, name), m.book.Full(name)+" is nobody's now."
	case "list":
		field = &p.List
		if err = kith.CheckPersonal(name); err == nil {
			err, done = m.book.AddList(ctx, name, v.account), "The list "+m.book.Full(name)+" is made. Put people on it."
		}
	case "unlist":
		err, done = m.book.RemoveList(ctx, name), "The list "+name+" is gone."
	case "join":
		field, p.Wrong = &p.Member, name
		err, done = m.book.Join(ctx, name, member), member+" is on the list "+name+"."
	case "leave":
		err, done = m.book.Leave(ctx, name, member), member+" is off the list "+name+"."
	}
	if err == nil {
		ui.Redirect(w, r, settingsScreen, done)
		return nil
	}
	field.Value, field.Error = name, kith.Sentence(err)
	if what == "join" {
		field.Value = member
	}
	return m.showSettings(w, r, v, statusOf(err), p)
}
