package admin

import (
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"rsc.io/qr"

	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

const maxUses = 100

type inviteData struct {
	CSRF                template.HTML
	Group               string
	Uses, Expires, Role ui.Field
	Introduce           ui.Field
	Wrong               string
}

type ticketData struct {
	control.Invitation
	Group, Host string
	Code        template.HTML // the ticket as a QR code
	Reach       string        // who can reach this computer to join
	Near        bool          // nobody but this computer can
	Ways        bool          // others need one of the ways that the page names
	Findings    []control.Finding
}

func inviteForm(r *http.Request, v visit) inviteData {
	introduce := "off"
	if v.status.Reach.Introduce {
		introduce = "dht"
	}
	return inviteData{
		Introduce: ui.Field{Name: "introduce", Label: "Where no address leads from one to the other", Value: introduce, Radio: true, Options: []ui.Option{
			{Value: "off", Title: "Try what kith knows by itself", Hint: "Your own network, your router, members that can be reached."},
			{Value: "dht", Title: "Meet through the BitTorrent DHT, too", Hint: "Strangers see that both computers take part in it, and nothing else. It may take some minutes."}}},
		CSRF:  ui.CSRF(r),
		Group: v.status.Group,
		Uses: ui.Field{Name: "uses", Label: "For how many computers", Type: "number", Value: "1", Min: "1", Max: strconv.Itoa(maxUses), Required: true,
			Hint: "Each computer that joins uses the ticket once."},
		Expires: ui.Field{Name: "expires", Label: "Valid for", Value: "24h", Options: []ui.Option{
			{Value: "1h", Title: "an hour"}, {Value: "24h", Title: "a day"}, {Value: "168h", Title: "a week"}, {Value: "720h", Title: "a month"}}},
		Role: ui.Field{Name: "role", Label: "The newcomer may", Value: "admin", Radio: true, Options: []ui.Option{
			{Value: "admin", Title: "Invite and revoke others, as you do", Hint: "An admin. With more than one, no single computer is the centre: any may break or leave."},
			{Value: "member", Title: "Take part", Hint: "A member. It uses and offers everything, and cannot change who belongs."}}},
	}
}

func (a *Admin) invitePage(w http.ResponseWriter, r *http.Request, v visit) {
	a.askInvite(w, r, http.StatusOK, inviteForm(r, v))
}

func (a *Admin) askInvite(w http.ResponseWriter, r *http.Request, status int, data inviteData) {
	ui.Write(w, r, status, ui.Page{
		Title: "Invite someone", Active: "/members/",
		Lead: "A ticket lets another computer join " + data.Group + ". Hand it to its owner as you would a house key.",
		Back: ui.Entry{Href: "/members/", Title: "Members"},
		Body: pages.Body("invite.html", data),
	})
}

func (a *Admin) invite(w http.ResponseWriter, r *http.Request, v visit) {
	data := inviteForm(r, v)
	data.Uses.Value = strings.TrimSpace(r.PostForm.Get("uses"))
	uses, err := strconv.Atoi(data.Uses.Value)
	if err != nil || uses < 1 || uses > maxUses {
		data.Uses.Error = "A number from 1 to " + strconv.Itoa(maxUses) + "."
	}
	expires, err := time.ParseDuration(r.PostForm.Get("expires"))
	if data.Expires.Value = r.PostForm.Get("expires"); !data.Expires.Offers() || err != nil {
		data.Expires.Error, data.Expires.Value = "One of these.", "24h"
	}
	if data.Role.Value = r.PostForm.Get("role"); !data.Role.Offers() {
		data.Role.Error, data.Role.Value = "One of these.", "admin"
	}
	if data.Introduce.Value = r.PostForm.Get("introduce"); data.Introduce.Value != "" && !data.Introduce.Offers() {
		data.Introduce.Error, data.Introduce.Value = "One of these.", "off"
	}
	if data.Uses.Error+data.Expires.Error+data.Role.Error+data.Introduce.Error != "" {
		a.askInvite(w, r, http.StatusUnprocessableEntity, data)
		return
	}
	invitation, err := a.node.Invite(r.Context(), control.InviteRequest{Uses: uses, Expires: expires, Role: data.Role.Value, Introduce: data.Introduce.Value == "dht"})
	if err != nil {
		data.Wrong = a.explain(err)
		a.askInvite(w, r, statusOf(err), data)
		return
	}
	// The first invitation opens the overlay's port: ask again.
	status, err := a.node.Status(r.Context())
	if err != nil {
		status = v.status
	}
	ticket := ticketData{Invitation: invitation, Group: status.Group, Host: status.Host}
	ticket.Reach, ticket.Near = reach(status, invitation)
	ticket.Ways = !ticket.Near && !invitation.Open && !invitation.Introduce && len(invitation.Through) == 0
	// Tickets are read in either case; capitals make the smaller code.
	if code, err := qr.Encode(strings.ToUpper(invitation.Ticket), qr.M); err == nil {
		ticket.Code = ui.Bitmap(code.Size, code.Black, "The ticket as a QR code")
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Your ticket", Active: "/members/",
		Lead: "Hand it over by any way you trust. Whoever has it can join " + status.Group + ".",
		Back: ui.Entry{Href: "/members/", Title: "Members"},
		Body: pages.Body("ticket.html", ticket),
	})
}

// reach says who can come to this computer with a ticket; near means from this
// computer only.
func reach(status control.Status, invitation control.Invitation) (text string, near bool) {
	near = true
	found := false
	for _, l := range status.Listeners {
		if l.App != control.AppOverlay || l.Error != "" {
			continue
		}
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			continue
		}
		found = true
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
			near = false
		}
	}
	const own = "Computers on the same network as "
	switch {
	case !found:
		return status.Host + " accepts no connections from other computers yet. The doctor, under Settings, says why.", true
	case near:
		return status.Host + " listens on this computer only, so only another node on this computer can join.", true
	case invitation.Open:
		return "Computers anywhere can reach " + status.Host + ".", false
	case len(invitation.Through) > 0:
		return own + status.Host + ", and others as long as " + strings.Join(invitation.Through, " or ") + " is awake, which lets them through.", false
	case invitation.Introduce:
		return own + status.Host + ", and others through the BitTorrent DHT, which may take some minutes.", false
	}
	return own + status.Host + " can join. It is not known to be reachable from elsewhere.", false
}
