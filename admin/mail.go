package admin

import (
	"context"
	"encoding/pem"
	"fmt"
	"html/template"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/proto/mailconfig"
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

// mailServers are the mail servers of this host. Programs know it by localhost, which
// every certificate of it is good for; where the owner has opened a port, by the address.
func mailServers(status control.Status) []mailconfig.Server {
	var servers []mailconfig.Server
	for _, port := range mailPorts {
		for _, l := range status.Listeners {
			if l.App != appMail || l.Protocol != port.protocol || l.Error != "" {
				continue
			}
			host, text, err := net.SplitHostPort(l.Address)
			ip, ipErr := netip.ParseAddr(host)
			number, portErr := strconv.ParseUint(text, 10, 16)
			if err != nil || ipErr != nil || portErr != nil {
				continue // on the overlay
			}
			server := port.server
			server.Host, server.Port = "localhost", int(number)
			if !ip.IsLoopback() && !ip.IsUnspecified() {
				server.Host = host
			}
			servers = append(servers, server)
		}
	}
	return servers
}

// mailSettings fails with kind NotFound where there is no mail.
func mailSettings(status control.Status) (mailconfig.Settings, []byte, error) {
	settings := mailconfig.Settings{Provider: "kith on " + status.Host, Domain: status.Name, Servers: mailServers(status)}
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
	_, text, _ := mailSettings(status)
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
}

// mailPart returns nil where there is no mail.
func mailPart(csrf template.HTML, v visit) *mailData {
	settings, _, err := mailSettings(v.status)
	if err != nil {
		return nil
	}
	of := func(protocol string) []mailconfig.Server {
		return slices.DeleteFunc(slices.Clone(settings.Servers), func(s mailconfig.Server) bool { return s.Protocol != protocol })
	}
	return &mailData{
		CSRF: csrf, Address: v.account + "@" + v.status.Name, Account: v.account, Domain: v.status.Name,
		Reading: of(mailconfig.IMAP), Sending: of(mailconfig.SMTP), POP3: of(mailconfig.POP3),
	}
}

// autoconfigFile gives the file that Thunderbird reads from its folder isp.
func (a *Admin) autoconfigFile(w http.ResponseWriter, r *http.Request, v visit) {
	_, text, err := mailSettings(v.status)
	if err != nil {
		a.refuse(w, r, "There are no settings for mail", err)
		return
	}
	download(w, "application/xml", v.status.Name+".xml", text)
}

// mailProfile gives the profile that an Apple device installs.
func (a *Admin) mailProfile(w http.ResponseWriter, r *http.Request, v visit) {
	text, err := a.profile(r.Context(), v)
	if err != nil {
		a.refuse(w, r, "There is no profile for mail", err)
		return
	}
	download(w, mailconfig.ProfileType, "kith-"+v.account+"-"+v.status.Host+".mobileconfig", text)
}

func (a *Admin) profile(ctx context.Context, v visit) ([]byte, error) {
	settings, _, err := mailSettings(v.status)
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
