package admin

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

type membersData struct {
	Status  control.Status
	Lead    string
	Members []control.Member
	Revoked []control.Member
	Alone   bool
	Summary bool // never: this page has the table
	pictures
}

func (a *Admin) membersView(ctx context.Context) (view, error) {
	status, err := a.node.Status(ctx)
	if err != nil {
		return view{}, err
	}
	data := membersData{Status: status, Lead: presence(status)}
	for _, m := range status.Members {
		if m.State == control.Revoked {
			data.Revoked = append(data.Revoked, m)
		} else {
			data.Members = append(data.Members, m)
		}
	}
	data.Alone = len(data.Members) <= 1
	data.pictures = picturesOf(status)
	if len(data.Members) > 4 {
		large := draw(status, 1022, 440+8*max(len(data.Members)-dense, 0))
		data.Large = &large
	}
	return view{data, []string{"live-lead", "live-group", "live-revoked"}}, nil
}

func (a *Admin) members(w http.ResponseWriter, r *http.Request, v visit) {
	view, err := a.membersView(r.Context())
	if err != nil {
		a.refuse(w, r, "This page could not be made", err)
		return
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Members", Lead: view.data.(membersData).Lead, Active: "/members/", Live: "/events/members",
		Action: ui.Action{Href: "/invite", Title: "Invite someone", Icon: "invite"},
		Body:   pages.Body("members.html", view.data),
	})
}

type memberData struct {
	control.Member
	Group  string
	Full   string // full name
	Self   bool
	How    string // it is reached, in words
	Wrong  string // why the confirmation was refused
	Typed  string
	CSRF   template.HTML
	Escape string // Host, for addresses
}

func (m memberData) Confirm() ui.Field {
	return ui.Field{Name: "confirm", Label: "Type " + m.Host + " to confirm", Value: m.Typed, Error: m.Wrong, Required: true,
		MaxLength: kith.MaxLabel, Autocomplete: "off"}
}

func (a *Admin) memberView(ctx context.Context, host string) (view, error) {
	status, err := a.node.Status(ctx)
	if err != nil {
		return view{}, err
	}
	for _, m := range status.Members {
		if m.Host != host && m.ID.String() != host {
			continue
		}
		return view{memberData{
			Member: m, Group: status.Group, Full: kith.Name{Host: m.Host, Group: status.Group}.String(),
			Self: m.Path == control.PathSelf, How: pathInWords(m), Escape: url.PathEscape(m.Host),
		}, []string{"live-member"}}, nil
	}
	return view{}, fmt.Errorf("member %q: %w", host, kith.NotFound)
}

// memberPage finds the member that the address names, or answers that nobody
// is called so.
func (a *Admin) memberOf(w http.ResponseWriter, r *http.Request) (memberData, bool) {
	host := r.PathValue("host")
	view, err := a.memberView(r.Context(), host)
	if errors.Is(err, kith.NotFound) {
		ui.Message(w, r, http.StatusNotFound, "There is no such member", "Nobody in this group is called "+host+".")
		return memberData{}, false
	} else if err != nil {
		a.refuse(w, r, "This page could not be made", err)
		return memberData{}, false
	}
	data := view.data.(memberData)
	data.CSRF = ui.CSRF(r)
	return data, true
}

func (a *Admin) member(w http.ResponseWriter, r *http.Request, v visit) {
	data, ok := a.memberOf(w, r)
	if !ok {
		return
	}
	page := ui.Page{
		Title: data.Host, Active: "/members/", Live: "/events/member/" + data.Escape,
		Back: ui.Entry{Href: "/members/", Title: "Members"},
		Body: pages.Body("member.html", data),
	}
	if data.Site != "" && data.State == control.Online {
		page.Action = ui.Action{Href: data.Site, Title: "Visit its site", Icon: "globe"}
	}
	ui.Write(w, r, http.StatusOK, page)
}

func (a *Admin) setAdmin(w http.ResponseWriter, r *http.Request, v visit) {
	data, ok := a.memberOf(w, r)
	if !ok {
		return
	}
	back := "/members/" + data.Escape
	admin := r.PostForm.Get("admin") == "yes"
	if err := a.node.SetAdmin(r.Context(), data.Host, admin); err != nil {
		ui.RedirectError(w, r, back, a.explain(err))
		return
	}
	if admin {
		ui.Redirect(w, r, back, data.Host+" is an admin now: it can invite and revoke.")
	} else {
		ui.Redirect(w, r, back, data.Host+" is no admin any longer.")
	}
}

func (a *Admin) trust(w http.ResponseWriter, r *http.Request, v visit) {
	data, ok := a.memberOf(w, r)
	if !ok {
		return
	}
	back := "/members/" + data.Escape
	if err := a.node.Trust(r.Context(), data.Host); err != nil {
		ui.RedirectError(w, r, back, a.explain(err))
		return
	}
	ui.Redirect(w, r, back, "The name "+data.Host+" means this computer from now on.")
}

func (a *Admin) revokePage(w http.ResponseWriter, r *http.Request, v visit) {
	if data, ok := a.memberOf(w, r); ok {
		a.askRevoke(w, r, http.StatusOK, data)
	}
}

func (a *Admin) askRevoke(w http.ResponseWriter, r *http.Request, status int, data memberData) {
	ui.Write(w, r, status, ui.Page{
		Title: "Revoke " + data.Host + "?", Active: "/members/",
		Back: ui.Entry{Href: "/members/" + data.Escape, Title: data.Host},
		Body: pages.Body("revoke.html", data),
	})
}

func (a *Admin) revoke(w http.ResponseWriter, r *http.Request, v visit) {
	data, ok := a.memberOf(w, r)
	if !ok {
		return
	}
	data.Typed = strings.ToLower(strings.TrimSpace(r.PostForm.Get("confirm")))
	switch {
	case data.Self:
		data.Wrong = "This is the computer you are using. To take it out, leave the group."
	case data.Typed != data.Host:
		data.Wrong = "That is not its name."
	default:
		err := a.node.Revoke(r.Context(), data.Host)
		if err == nil {
			ui.Redirect(w, r, "/members/", data.Host+" is out of the group.")
			return
		}
		data.Wrong = a.explain(err)
	}
	a.askRevoke(w, r, http.StatusUnprocessableEntity, data)
}
