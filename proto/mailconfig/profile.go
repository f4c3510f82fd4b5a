package mailconfig

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"
)

// ProfileType is the media type of a profile; its file names end in ".mobileconfig".
const ProfileType = "application/x-apple-aspen-config"

// Profile returns the settings as a configuration profile for iOS, iPadOS and macOS:
// the certificate and an account with the first servers of the list, IMAP before POP3. It
// fails with [ErrIncomplete].
func (s Settings) Profile() ([]byte, error) {
	err := s.check()
	if err == nil && (s.account() == "" || len(s.Authority) == 0) {
		err = fmt.Errorf("no address or no certificate: %w", ErrIncomplete)
	}
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	in, protocol, _ := s.first(IMAP, POP3)
	out, _, _ := s.first(SMTP)
	kind := "EmailTypeIMAP"
	if protocol == POP3 {
		kind = "EmailTypePOP"
	}
	id := "alt.kith.mail." + s.account() + "." + s.Domain
	payload := func(suffix, payloadType, name string, more dict) dict {
		return append(dict{
			{"PayloadType", payloadType}, {"PayloadVersion", 1}, {"PayloadIdentifier", id + suffix},
			{"PayloadUUID", uuid(id + suffix)}, {"PayloadDisplayName", name},
		}, more...)
	}
	profile := payload("", "Configuration", s.Provider, dict{
		{"PayloadDescription", "Mail for " + s.Address + ", and the certificate of the computer that keeps it."},
		{"PayloadOrganization", s.Provider},
		{"PayloadRemovalDisallowed", false},
		{"PayloadContent", []dict{
			payload(".certificate", "com.apple.security.root", s.Provider, dict{
				{"PayloadCertificateFileName", "kith.cer"},
				{"PayloadContent", s.Authority},
			}),
			payload(".account", "com.apple.mail.managed", s.Address, dict{
				{"EmailAccountDescription", s.Provider},
				{"EmailAccountName", s.Name},
				{"EmailAccountType", kind},
				{"EmailAddress", s.Address},
				{"IncomingMailServerAuthentication", "EmailAuthPassword"},
				{"IncomingMailServerHostName", in.Host},
				{"IncomingMailServerPortNumber", in.Port},
				{"IncomingMailServerUseSSL", true},
				{"IncomingMailServerUsername", s.Address},
				{"OutgoingMailServerAuthentication", "EmailAuthPassword"},
				{"OutgoingMailServerHostName", out.Host},
				{"OutgoingMailServerPortNumber", out.Port},
				{"OutgoingMailServerUseSSL", true},
				{"OutgoingMailServerUsername", s.Address},
				{"OutgoingPasswordSameAsIncomingPassword", true},
			}),
		}},
	})
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString(`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n")
	b.WriteString(`<plist version="1.0">` + "\n")
	write(&b, profile, "")
	b.WriteString("</plist>\n")
	return b.Bytes(), nil
}

// A dict is a property list's, in the order in which it is written.
type dict []entry

type entry struct {
	key   string
	value any // string, int, bool, []byte, dict or []dict
}

// write writes a value of a property list, indented.
func write(b *bytes.Buffer, value any, indent string) {
	switch v := value.(type) {
	case dict:
		fmt.Fprintf(b, "%s<dict>\n", indent)
		for _, e := range v {
			fmt.Fprintf(b, "%s\t<key>%s</key>\n", indent, escape(e.key))
			write(b, e.value, indent+"\t")
		}
		fmt.Fprintf(b, "%s</dict>\n", indent)
	case []dict:
		fmt.Fprintf(b, "%s<array>\n", indent)
		for _, d := range v {
			write(b, d, indent+"\t")
		}
		fmt.Fprintf(b, "%s</array>\n", indent)
	case []byte:
		fmt.Fprintf(b, "%s<data>%s</data>\n", indent, base64.StdEncoding.EncodeToString(v))
	case bool:
		fmt.Fprintf(b, "%s<%t/>\n", indent, v)
	case int:
		fmt.Fprintf(b, "%s<integer>%d</integer>\n", indent, v)
	case string:
		fmt.Fprintf(b, "%s<string>%s</string>\n", indent, escape(v))
	}
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder does not fail
	return b.String()
}

// uuid follows from a name (RFC 9562 5.8: version 8).
func uuid(name string) string {
	sum := sha256.Sum256([]byte(name))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}
