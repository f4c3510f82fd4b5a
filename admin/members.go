package admin

import (
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
	memberTable
	pictures
}

func (membersData) live() []string { return []string{"live-lead", "live-group", "live-revoked"} }

func membersView(status control.Status) membersData {
	data := membersData{Status: status, Lead: presence(status)}
	for _, m := range status.Members {
		if m.State == control.Revoked {
			data.Revoked = append(data.Revoked, m)
		} else {
			data.Members = append(data.Members, m)
		}
	}
	data.memberTable = memberTable{Rows: data.Members}
	data.Alone = len(data.Members) <= 1
	data.pictures = picturesOf(status)
	if len(data.Members) > 4 {
		large := draw(status, 1022, 440+8*max(len(data.Members)-dense, 0))
		data.Large = &large
	}
	return data
}

func (a *Admin) members(w http.ResponseWriter, r *http.Request, v visit) {
	data := membersView(v.status)
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Members", Lead: data.Lead, Active: "/members/", Live: "/events/members",
		Action: ui.Entry{Href: "/invite", Title: "Invite someone", Icon: "invite"},
		Body:   pages.Body("members.html", data),
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

func (memberData) live() []string { return []string{"live-member"} }

// memberView finds a member by its name or its ID. Kind: NotFound.
func memberView(status control.Status, host string) (memberData, error) {
	for _, m := range status.Members {
		if m.Host != host && m.ID.String() != host {
			continue
		}
		return memberData{
			Member: m, Group: status.Group, Full: kith.Name{Host: m.Host, Group: status.Group}.String(),
			Self: m.Path == control.PathSelf, How: pathInWords(m), Escape: url.PathEscape(m.Host),
		}, nil
	}
	return memberData{}, fmt.Errorf("no member is called %q: %w", host, kith.NotFound)
}

// memberOf finds the member that the address names, or answers that nobody
// is called so.
func memberOf(w http.ResponseWriter, r *http.Request, v visit) (memberData, bool) {
	host := r.PathValue("host")
	data, err := memberView(v.status, host)
	if err != nil {
		ui.Message(w, r, http.StatusNotFound, "There is no such member", "Nobody in this group is called "+host+".")
		return memberData{}, false
	}
	data.CSRF = ui.CSRF(r)
	return data, true
}

func (a *Admin) member(w http.ResponseWriter, r *http.Request, v visit) {
	data, ok := memberOf(w, r, v)
	if !ok {
		return
	}
	page := ui.Page{
		Title: data.Host, Active: "/members/", Live: "/events/member/" + data.Escape,
		Back: ui.Entry{Href: "/members/", Title: "Members"},
		Body: pages.Body("member.html", data),
	}
	if data.Site != "" && data.State == control.Online && !data.Moved {
		page.Action = ui.Entry{Href: data.Site, Title: "Visit its site", Icon: "globe"}
	}
	ui.Write(w, r, http.StatusOK, page)
}

func (a *Admin) setAdmin(w http.ResponseWriter, r *http.Request, v visit) {
	data, ok := memberOf(w, r, v)
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
	data, ok := memberOf(w, r, v)
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
	if data, ok := memberOf(w, r, v); ok {
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
	data, ok := memberOf(w, r, v)
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
