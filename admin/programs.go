package admin

import (
	"net"
	"net/http"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

type programsData struct {
	Status    control.Status
	Example   string // a member's short name, to put into examples
	Full      string // its full name
	Site      string
	Proxy     string // host:port, "" where nothing listens
	ProxyHost string
	ProxyPort string
	PAC       string
	Trouble   string // why there is no proxy

	Mail        *mailData // nil where there is no mail
	Certificate control.Certificate
}

func (a *Admin) programs(w http.ResponseWriter, r *http.Request, v visit) {
	self := v.self()
	data := programsData{Status: v.status, Example: self.Host, Site: v.status.Site, Mail: mailPart(ui.CSRF(r), v)}
	var err error
	if data.Certificate, err = a.node.Certificate(r.Context()); err != nil {
		a.refuse(w, r, "This page could not be made", err)
		return
	}
	for _, m := range v.status.Members {
		if m.State == control.Online && m.Path != control.PathSelf && !m.Moved {
			data.Example, data.Site = m.Host, m.Site
			break
		}
	}
	data.Full = kith.Name{Host: data.Example, Group: v.status.Group}.String()
	for _, l := range v.status.Listeners {
		if l.App != control.AppGateway || l.Protocol != control.ProtocolProxy {
			continue
		}
		if l.Error != "" {
			data.Trouble = l.Error
			continue
		}
		if host, port, err := net.SplitHostPort(l.Address); err == nil {
			data.Proxy, data.ProxyHost, data.ProxyPort = l.Address, host, port
			data.PAC = strings.TrimSuffix(v.status.Dashboard, "/") + "/proxy.pac"
			break
		}
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Settings", Active: "/settings/", Tabs: settingsTabs, Tab: "/settings/programs",
		Body: pages.Body("programs.html", data),
	})
}
