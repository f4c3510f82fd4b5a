package admin

import (
	"context"
	"encoding/pem"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"rsc.io/qr"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/proto/mailconfig"
	"kith.alt/kith/ui"
)

// appMail is the application whose listeners are mail servers.
const appMail = "mail"

// mailPorts are the protocols that it may listen for, the best first.
var mailPorts = []struct {
	protocol string
	server   mailconfig.Server
}{
	{"imaps", mailconfig.Server{Protocol: mailconfig.IMAP}},
	{"imap", mailconfig.Server{Protocol: mailconfig.IMAP, StartTLS: true}},
	{"pop3s", mailconfig.Server{Protocol: mailconfig.POP3}},
	{"pop3", mailconfig.Server{Protocol: mailconfig.POP3, StartTLS: true}},
	{"submissions", mailconfig.Server{Protocol: mailconfig.SMTP}},
	{"submission", mailconfig.Server{Protocol: mailconfig.SMTP, StartTLS: true}},
}

// mailDoor tells whether the owner let programs of other computers in.
func mailDoor(status control.Status) control.Door {
	for _, d := range status.Doors {
		if d.App == appMail {
			return d
		}
	}
	return control.Door{}
}

// mailServers are the mail servers of this host. Programs on it know it by localhost, which
// every certificate of it is good for; those on other computers, a phone, by
// its name on the local networks, or by its address where the owner opened just that.
func mailServers(status control.Status, phone bool) []mailconfig.Server {
	host := "localhost"
	if phone {
		door := mailDoor(status)
		if host = door.Name; addressOf(door.Open).IsValid() {
			host = door.Open
		}
	}
	var servers []mailconfig.Server
	for _, port := range mailPorts {
		for _, l := range status.Listeners {
			at, err := netip.ParseAddrPort(l.Address)
			if l.App != appMail || l.Protocol != port.protocol || l.Error != "" || err != nil {
				continue // or on the overlay
			}
			server := port.server
			server.Host, server.Port = host, int(at.Port())
			if outside := !at.Addr().IsLoopback() && !at.Addr().IsUnspecified(); outside == phone && !slices.Contains(servers, server) {
				servers = append(servers, server)
			}
		}
	}
	return servers
}

// addressOf returns the zero address for what is none.
func addressOf(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

// mailSettings fails with kind NotFound where there is no mail.
func mailSettings(status control.Status, phone bool) (mailconfig.Settings, []byte, error) {
	settings := mailconfig.Settings{Provider: "kith on " + status.Host, Domain: status.Name, Servers: mailServers(status, phone)}
	text, err := settings.Autoconfig()
	if err != nil {
		return settings, nil, fmt.Errorf("no mail server listens on this computer: %w", kith.NotFound)
	}
	return settings, text, nil
}

// Autoconfig returns what mail programs ask the web server of their address's domain
// for, or nil where there is no mail. It holds nothing but ports.
func (a *Admin) Autoconfig(ctx context.Context) []byte {
	status, err := a.node.Status(ctx)
	if err != nil {
		return nil
	}
	_, text, _ := mailSettings(status, false)
	return text
}

// mailData is the part of the page of programs that is about mail.
type mailData struct {
	CSRF    template.HTML
	Address string
	Account string
	Domain  string
	Reading []mailconfig.Server
	Sending []mailconfig.Server
	POP3    []mailconfig.Server
	Door    control.Door
	Phone   []mailconfig.Server // where the door is open
}

// mailPart returns nil where there is no mail.
func mailPart(csrf template.HTML, v visit) *mailData {
	settings, _, err := mailSettings(v.status, false)
	if err != nil {
		return nil
	}
	of := func(protocol string) []mailconfig.Server {
		return slices.DeleteFunc(slices.Clone(settings.Servers), func(s mailconfig.Server) bool { return s.Protocol != protocol })
	}
	return &mailData{
		CSRF: csrf, Address: v.account + "@" + v.status.Name, Account: v.account, Domain: v.status.Name,
		Reading: of(mailconfig.IMAP), Sending: of(mailconfig.SMTP), POP3: of(mailconfig.POP3),
		Door: mailDoor(v.status), Phone: mailServers(v.status, true),
	}
}

// autoconfigFile gives the file that Thunderbird reads from its folder isp.
func (a *Admin) autoconfigFile(w http.ResponseWriter, r *http.Request, v visit) {
	_, text, err := mailSettings(v.status, false)
	if err != nil {
		a.refuse(w, r, "There are no settings for mail", err)
		return
	}
	download(w, "application/xml", v.status.Name+".xml", text)
}

// mailProfile gives the profile that an Apple device installs: this computer, or with the query "phone" one
// that is let in.
func (a *Admin) mailProfile(w http.ResponseWriter, r *http.Request, v visit) {
	text, err := a.profile(r.Context(), v, r.URL.Query().Has("phone"))
	if err != nil {
		a.refuse(w, r, "There is no profile for mail", err)
		return
	}
	download(w, mailconfig.ProfileType, "kith-"+v.account+"-"+v.status.Host+".mobileconfig", text)
}

func (a *Admin) profile(ctx context.Context, v visit, phone bool) ([]byte, error) {
	settings, _, err := mailSettings(v.status, phone)
	if err != nil {
		return nil, err
	}
	certificate, err := a.node.Certificate(ctx)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode([]byte(certificate.PEM)); block != nil {
		settings.Authority = block.Bytes
	}
	settings.Name, settings.Address = v.account, v.account+"@"+v.status.Name
	return settings.Profile()
}

// openMail lets a phone in, or closes the door.
func (a *Admin) openMail(w http.ResponseWriter, r *http.Request, v visit) {
	to, done := kith.OpenLAN, "Phones on your network can use mail now."
	if r.PostForm.Get("to") == "" {
		to, done = "", "Only programs of this computer can use mail now."
	}
	if err := a.node.Open(r.Context(), appMail, to); err != nil {
		ui.RedirectError(w, r, "/settings/programs", a.explain(err))
		return
	}
	ui.Redirect(w, r, "/settings/programs", done)
}

// addPhone makes an app password for a phone, and a code that brings it there with the settings.
func (a *Admin) addPhone(w http.ResponseWriter, r *http.Request, v visit) {
	settings, _, err := mailSettings(v.status, true)
	if err != nil {
		a.refuse(w, r, "No phone reaches mail now", err)
		return
	}
	made, err := a.node.AddAppPassword(r.Context(), v.account, "mail on a phone")
	if err != nil {
		ui.RedirectError(w, r, "/settings/programs", a.explain(err))
		return
	}
	settings.Name, settings.Address = v.account, v.account+"@"+v.status.Name
	text, err := settings.Mobile(made.Secret)
	if err != nil {
		a.refuse(w, r, "There are no settings for a phone", err)
		return
	}
	data := phoneData{Made: madeData{made, v.account, v.status.Name}, Servers: settings.Servers}
	if code, err := qr.Encode(string(text), qr.M); err == nil {
		data.Code = ui.Bitmap(code.Size, code.Black, "The settings and the password as a QR code")
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Mail on your phone", Active: "/settings/",
		Lead: "Scan or copy it now: kith keeps no copy of the password and cannot show it again.",
		Back: ui.Entry{Href: "/settings/programs", Title: "Programs"},
		Body: pages.Body("phone.html", data),
	})
}

// phoneData is what a phone needs to know.
type phoneData struct {
	Made    madeData
	Servers []mailconfig.Server
	Code    template.HTML
}

// certificateFile gives the certificate that programs are to trust, under an ending
// that systems know.
func (a *Admin) certificateFile(w http.ResponseWriter, r *http.Request, v visit) {
	certificate, err := a.node.Certificate(r.Context())
	if err != nil {
		a.refuse(w, r, "The certificate could not be read", err)
		return
	}
	download(w, "application/x-x509-ca-cert", "kith-"+v.status.Host+".crt", []byte(certificate.PEM))
}

func download(w http.ResponseWriter, mediaType, name string, content []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // fails where the browser has gone
}
