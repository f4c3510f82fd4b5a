package admin

import (
	"html/template"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// maxTicket is longer than any ticket, so that a long paste is told apart from
// a wrong one.
const maxTicket = 2000

type joinData struct {
	CSRF        template.HTML
	Alone       bool
	Group, Host string
	Ticket      ui.Field
}

func joinForm(r *http.Request, v visit) joinData {
	_, all := awake(v.status)
	return joinData{
		CSRF: ui.CSRF(r), Alone: all <= 1, Group: v.status.Group, Host: v.status.Host,
		Ticket: ui.Field{Name: "ticket", Label: "Ticket", Rows: 4, Required: true, MaxLength: maxTicket,
			Hint: "Paste the whole text that a member gave you."},
	}
}

func (a *Admin) joinPage(w http.ResponseWriter, r *http.Request, v visit) {
	a.askJoin(w, r, http.StatusOK, joinForm(r, v))
}

func (a *Admin) askJoin(w http.ResponseWriter, r *http.Request, status int, data joinData) {
	page := ui.Page{
		Title: "Join a group", Active: "/members/",
		Back: ui.Entry{Href: "/members/", Title: "Members"},
		Body: pages.Body("join.html", data),
	}
	if data.Alone {
		page.Lead = data.Host + " becomes a member of the group that the ticket names. Its key, its accounts and its site stay."
	}
	ui.Write(w, r, status, page)
}

func (a *Admin) join(w http.ResponseWriter, r *http.Request, v visit) {
	data := joinForm(r, v)
	ticket := strings.Join(strings.Fields(r.PostForm.Get("ticket")), "") // mail programs break lines
	data.Ticket.Value = ticket
	switch {
	case !data.Alone:
		a.askJoin(w, r, http.StatusConflict, data)
		return
	case ticket == "":
		data.Ticket.Error = "Paste a ticket first."
	case len(ticket) > maxTicket:
		data.Ticket.Value, data.Ticket.Error = "", "That is too long for a ticket."
	default:
		err := a.node.Join(r.Context(), ticket)
		if err == nil {
			ui.Redirect(w, r, "/", "You are in. "+data.Host+" belongs to the group now.")
			return
		}
		data.Ticket.Error = a.explain(err)
	}
	a.askJoin(w, r, http.StatusUnprocessableEntity, data)
}

type leaveData struct {
	CSRF        template.HTML
	Group, Host string
	Others      int
	Alone       bool
	Confirm     ui.Field
}

func leaveForm(r *http.Request, v visit) leaveData {
	_, all := awake(v.status)
	return leaveData{
		CSRF: ui.CSRF(r), Group: v.status.Group, Host: v.status.Host, Others: all - 1, Alone: all <= 1,
		Confirm: ui.Field{Name: "confirm", Label: "Type " + v.status.Group + " to confirm", Required: true, MaxLength: kith.MaxLabel, Autocomplete: "off"},
	}
}

func (a *Admin) leavePage(w http.ResponseWriter, r *http.Request, v visit) {
	a.askLeave(w, r, http.StatusOK, leaveForm(r, v))
}

func (a *Admin) askLeave(w http.ResponseWriter, r *http.Request, status int, data leaveData) {
	ui.Write(w, r, status, ui.Page{
		Title: "Leave the group?", Active: "/settings/",
		Back: ui.Entry{Href: "/settings/", Title: "Settings"},
		Body: pages.Body("leave.html", data),
	})
}

func (a *Admin) leave(w http.ResponseWriter, r *http.Request, v visit) {
	data := leaveForm(r, v)
	data.Confirm.Value = strings.ToLower(strings.TrimSpace(r.PostForm.Get("confirm")))
	if data.Confirm.Value != data.Group {
		data.Confirm.Error = "That is not its name."
	} else if err := a.node.Leave(r.Context()); err != nil {
		data.Confirm.Error = a.explain(err)
	} else {
		ui.Redirect(w, r, "/", data.Host+" has left "+data.Group+" and is a group of one.")
		return
	}
	a.askLeave(w, r, http.StatusUnprocessableEntity, data)
}
