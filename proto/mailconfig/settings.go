package mailconfig

import (
	"errors"
	"fmt"
	"strings"
)

// The protocols of mail servers.
const (
	IMAP = "imap"
	POP3 = "pop3"
	SMTP = "smtp" // submission
)

// AutoconfigPaths are where programs look for the answer of [Settings.Autoconfig]: the
// first on the web server of an address's domain, the second on that of autoconfig
// below the domain.
var AutoconfigPaths = [...]string{"/.well-known/autoconfig/mail/config-v1.1.xml", "/mail/config-v1.1.xml"}

// A Server is where a mail program reads mail or submits it.
type Server struct {
	Protocol string
	Host     string // a name in the server's certificate, or an address
	Port     int
	StartTLS bool // TLS begins on request; else at once, which is better
}

// Settings are what a mail program needs to know. Programs try the servers of a kind in
// their order.
type Settings struct {
	Provider string // what people call it: "kith on maple"
	Domain   string // of addresses
	Servers  []Server

	// What a profile also has.
	Name      string // the person's
	Address   string // whose part before the @ is the account
	Authority []byte // the certificate to trust, in DER
}

// ErrIncomplete means that settings lack what a form needs.
var ErrIncomplete = errors.New("the settings are incomplete")

// check wants a server to read from and one to submit to.
func (s Settings) check() error {
	_, _, reading := s.first(IMAP, POP3)
	_, _, sending := s.first(SMTP)
	switch {
	case s.Provider == "" || s.Domain == "":
		return fmt.Errorf("no provider or domain: %w", ErrIncomplete)
	case !reading || !sending:
		return fmt.Errorf("no server to read from, or none to submit to: %w", ErrIncomplete)
	}
	for _, server := range s.Servers {
		if server.Host == "" || server.Port <= 0 || server.Port > 65535 {
			return fmt.Errorf("server %s:%d: %w", server.Host, server.Port, ErrIncomplete)
		}
	}
	return nil
}

// first returns the first server of the first protocol that has one.
func (s Settings) first(protocols ...string) (server Server, protocol string, ok bool) {
	for _, protocol := range protocols {
		for _, server := range s.Servers {
			if server.Protocol == protocol {
				return server, protocol, true
			}
		}
	}
	return Server{}, "", false
}

func (s Settings) account() string {
	account, _, _ := strings.Cut(s.Address, "@")
	return account
}
