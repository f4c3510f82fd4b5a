package admin

import (
	"context"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

// settingsTabs are the pages below Settings.
var settingsTabs = []ui.Entry{
	{Href: "/settings/", Title: "This computer"},
	{Href: "/settings/accounts", Title: "Accounts"},
	{Href: "/settings/programs", Title: "Programs"},
}

// maxSockets is how many open sockets the page lists.
const maxSockets = 100

type computerData struct {
	CSRF      template.HTML
	Status    control.Status
	Self      control.Member
	Alone     bool
	Listeners []control.Listener
	Sockets   []control.Socket
	More      int // sockets beyond those listed
	Findings  []control.Finding
	Troubles  int
	Host      ui.Field
	Group     ui.Field
	Relay     relayForm
}

func (computerData) live() []string {
	return []string{"live-sockets", "live-listeners", "live-reach", "live-relaying"}
}

// computerForms are the forms of the page as they were filled in, and why that
// was refused.
type computerForms struct {
	names control.RenameRequest
	wrong map[string]string // of names
	relay relayForm
}

func (a *Admin) computerView(ctx context.Context, status control.Status) (computerData, error) {
	sockets, err := a.node.Sockets(ctx)
	if err != nil {
		return computerData{}, err
	}
	_, all := awake(status)
	data := computerData{Status: status, Self: visit{status: status}.self(), Alone: all <= 1, Listeners: status.Listeners, Sockets: sockets}
	if data.More = len(sockets) - maxSockets; data.More > 0 {
		data.Sockets = sockets[:maxSockets]
	}
	return data, nil
}

// purpose says what a listener is for.
func purpose(l control.Listener) string {
	switch (control.Listener{App: l.App, Protocol: l.Protocol}) {
	case control.Listener{App: control.AppGateway, Protocol: control.ProtocolHTTP}:
		return "Dashboard and sites"
	case control.Listener{App: control.AppGateway, Protocol: control.ProtocolProxy}:
		return "Proxy: SOCKS5 and HTTP"
	case control.Listener{App: control.AppOverlay, Protocol: "udp"}:
		return "The other members, over QUIC"
	case control.Listener{App: control.AppOverlay, Protocol: "tcp"}:
		return "The other members, over TLS"
	case control.Listener{App: "web", Protocol: "http"}:
		return "This computer's site"
	}
	return l.App + ", " + l.Protocol
}

// opened says where a socket was opened, and by what or for what.
func opened(s control.Socket) string {
	by := s.By
	switch by {
	case "members":
		by = "kith itself"
	case "program":
		by = "a program"
	}
	if s.Inbound {
		return "there, to " + by
	}
	return "here, by " + by
}

// callers says who can call at a listener.
func callers(l control.Listener) string {
	if strings.HasPrefix(l.Address, "overlay:") {
		return "members only"
	}
	host, _, err := net.SplitHostPort(l.Address)
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case err != nil || ipErr != nil:
		return ""
	case ip.IsLoopback():
		return "this computer only"
	case l.App == control.AppOverlay:
		return "the network; strangers are refused"
	}
	return "the network"
}

func (a *Admin) computer(w http.ResponseWriter, r *http.Request, v visit) {
	a.showComputer(w, r, v, http.StatusOK, computerForms{
		names: control.RenameRequest{Host: v.status.Host, Group: v.status.Group}, relay: newRelayForm(v.status.Relaying.Limits)})
}

func (a *Admin) showComputer(w http.ResponseWriter, r *http.Request, v visit, status int, forms computerForms) {
	data, err := a.computerView(r.Context(), v.status)
	if err != nil {
		a.refuse(w, r, "This page could not be made", err)
		return
	}
	data.CSRF = ui.CSRF(r)
	if data.Findings, err = a.node.Doctor(r.Context()); err != nil {
		data.Findings = []control.Finding{{Level: control.Problem, What: "The doctor could not look.", Cause: a.explain(err)}}
	}
	for _, f := range data.Findings {
		if f.Level == control.Problem {
			data.Troubles++
		}
	}
	data.Host = ui.Field{Name: "host", Label: "This computer", Value: forms.names.Host, Error: forms.wrong["host"], Required: true, MaxLength: kith.MaxLabel, Autocomplete: "off",
		Hint: "Its old name goes on working for those who have it."}
	data.Group = ui.Field{Name: "group", Label: "The group", Value: forms.names.Group, Error: forms.wrong["group"], Required: true, MaxLength: kith.MaxLabel, Autocomplete: "off",
		Hint: "For every member. Full names and sites' addresses change with it."}
	data.Relay = forms.relay
	ui.Write(w, r, status, ui.Page{
		Title: "Settings", Active: "/settings/", Tabs: settingsTabs, Tab: "/settings/", Live: "/events/computer",
		Body: pages.Body("computer.html", data),
	})
}

func (a *Admin) rename(w http.ResponseWriter, r *http.Request, v visit) {
	names := control.RenameRequest{
		Host:  strings.ToLower(strings.TrimSpace(r.PostForm.Get("host"))),
		Group: strings.ToLower(strings.TrimSpace(r.PostForm.Get("group"))),
	}
	wrong := make(map[string]string)
	forms := computerForms{names: names, wrong: wrong, relay: newRelayForm(v.status.Relaying.Limits)}
	if err := kith.CheckLabel(names.Host); err != nil {
		wrong["host"] = a.explain(err)
	}
	if err := kith.CheckLabel(names.Group); err != nil {
		wrong["group"] = a.explain(err)
	}
	if len(wrong) > 0 {
		a.showComputer(w, r, v, http.StatusUnprocessableEntity, forms)
		return
	}
	var request control.RenameRequest // only what differs
	if names.Host != v.status.Host {
		request.Host = names.Host
	}
	if names.Group != v.status.Group {
		request.Group = names.Group
	}
	if request == (control.RenameRequest{}) {
		ui.Redirect(w, r, "/settings/", "The names are as they were.")
		return
	}
	if err := a.node.Rename(r.Context(), request); err != nil {
		field := "host"
		if request.Host == "" {
			field = "group"
		}
		wrong[field] = a.explain(err)
		a.showComputer(w, r, v, statusOf(err), forms)
		return
	}
	ui.Redirect(w, r, "/settings/", "This computer is "+kith.Name{Host: names.Host, Group: names.Group}.String()+" now.")
}

func (a *Admin) stopPage(w http.ResponseWriter, r *http.Request, v visit) {
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Stop kith on " + v.status.Host + "?", Active: "/settings/",
		Back: ui.Entry{Href: "/settings/", Title: "Settings"},
		Body: pages.Body("stop.html", computerData{CSRF: ui.CSRF(r), Status: v.status}),
	})
}

func (a *Admin) stop(w http.ResponseWriter, r *http.Request, v visit) {
	if err := a.node.Stop(r.Context()); err != nil {
		a.refuse(w, r, "Kith was not stopped", err)
		return
	}
	ui.Write(w, r, http.StatusOK, ui.Page{Title: "Kith stops", Plain: true, Body: pages.Body("stopped.html", v.status)})
}
