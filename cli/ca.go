package cli

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"kith.alt/kith/control"
)

func caCommand() command {
	var out string
	return command{
		name: "ca", summary: "print the certificate that programs trust this host by", group: groupUse,
		help: `Client programs speak TLS to this host without a warning once they trust its own
certificate authority, whose certificate this prints, in PEM. It can vouch for nothing
but this host's names, localhost and this computer's own addresses. Each host has its
own: on another computer trust that one's.

Thunderbird  Settings, Privacy & Security, Manage Certificates, Authorities, Import;
             tick "identify websites", which means mail servers, too
Firefox      Settings, Privacy & Security, View Certificates, Authorities, Import
mutt         in muttrc: set ssl_ca_certificates_file="~/kith.pem"
curl         curl --cacert kith.pem https://localhost:8443/
Debian       kith ca -o kith.crt; sudo cp kith.crt /usr/local/share/ca-certificates/;
             sudo update-ca-certificates
Chrome       on Linux: certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n kith -i kith.pem
macOS        security add-trusted-cert -r trustRoot -p ssl \
               -k ~/Library/Keychains/login.keychain-db kith.pem
Windows      kith ca -o kith.crt, then: certutil -user -addstore Root kith.crt
iOS          open the file, install the profile in Settings, then switch it on in
             General, About, Certificate Trust Settings

Compare the fingerprint that is told with what the program shows.

Example: kith ca -o kith.pem`,
		flags: func(set *flag.FlagSet) {
			set.StringVar(&out, "o", "", "write it into the file at `PATH`")
		},
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			certificate, err := node.Certificate(ctx)
			if err != nil {
				return err
			}
			e.Tell("%s\nfor %s, until %s\nSHA-256 %s", certificate.Title, strings.Join(certificate.Names, ", "),
				certificate.Expires.Local().Format("2 January 2006"), certificate.Fingerprint)
			if out == "" {
				return e.Print(certificate, certificate.PEM)
			}
			if err := os.WriteFile(out, []byte(certificate.PEM), 0o644); err != nil { // it is public
				return fmt.Errorf("write the certificate: %w", err)
			}
			return e.Print(certificate, "")
		},
	}
}
