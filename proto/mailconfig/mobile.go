package mailconfig

import (
	"encoding/json"
	"fmt"
)

// Values of Thunderbird's form.
const (
	mobileVersion  = 1
	mobileIMAP     = 0
	mobilePOP3     = 1
	mobileSMTP     = 0
	mobileStartTLS = 2
	mobileTLS      = 3
	mobilePassword = 1 // in clear, within TLS
)

// Mobile returns the settings as Thunderbird for Android reads them from a QR code: an
// account with the first servers of the list, IMAP before POP3, and its password, or "" for none. It fails
// with [ErrIncomplete].
//
// The form is "Export for Mobile", version 1, of the Thunderbird project: nested lists in
// JSON, as there is little room in a code.
func (s Settings) Mobile(password string) ([]byte, error) {
	err := s.check()
	if err == nil && s.account() == "" {
		err = fmt.Errorf("no address: %w", ErrIncomplete)
	}
	if err != nil {
		return nil, fmt.Errorf("settings for a phone: %w", err)
	}
	type list = []any
	security := func(server Server) int {
		if server.StartTLS {
			return mobileStartTLS
		}
		return mobileTLS
	}
	in, protocol, _ := s.first(IMAP, POP3)
	out, _, _ := s.first(SMTP)
	kind := mobileIMAP
	if protocol == POP3 {
		kind = mobilePOP3
	}
	incoming := list{kind, in.Host, in.Port, security(in), mobilePassword, s.Address}
	outgoing := list{mobileSMTP, out.Host, out.Port, security(out), mobilePassword, s.Address}
	if password != "" {
		incoming, outgoing = append(incoming, "", password), append(outgoing, password)
	}
	return json.Marshal(list{
		mobileVersion, list{1, 1},
		incoming, list{list{outgoing, list{s.Address, s.Name}}},
	})
}
