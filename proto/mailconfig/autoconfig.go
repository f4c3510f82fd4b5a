package mailconfig

import (
	"encoding/xml"
	"fmt"
)

type clientConfig struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider provider `xml:"emailProvider"`
}

type provider struct {
	ID        string `xml:"id,attr"`
	Domain    string `xml:"domain"`
	Name      string `xml:"displayName"`
	ShortName string `xml:"displayShortName"`
	Incoming  []server
	Outgoing  []server
}

type server struct {
	XMLName        xml.Name
	Type           string `xml:"type,attr"`
	Host           string `xml:"hostname"`
	Port           int    `xml:"port"`
	Socket         string `xml:"socketType"`
	Authentication string `xml:"authentication"`
	User           string `xml:"username"`
}

// Autoconfig returns the settings in Mozilla's form. It fails with [ErrIncomplete].
func (s Settings) Autoconfig() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("autoconfig: %w", err)
	}
	config := clientConfig{Version: "1.1", Provider: provider{ID: s.Domain, Domain: s.Domain, Name: s.Provider, ShortName: "kith"}}
	for _, from := range s.Servers {
		to := server{
			Type: from.Protocol, Host: from.Host, Port: from.Port, Socket: "SSL",
			Authentication: "password-cleartext", // within TLS
			User:           "%EMAILADDRESS%",     // which the program fills in
		}
		if from.StartTLS {
			to.Socket = "STARTTLS"
		}
		if from.Protocol == SMTP {
			to.XMLName.Local = "outgoingServer"
			config.Provider.Outgoing = append(config.Provider.Outgoing, to)
		} else {
			to.XMLName.Local = "incomingServer"
			config.Provider.Incoming = append(config.Provider.Incoming, to)
		}
	}
	text, err := xml.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("autoconfig: %w", err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}
