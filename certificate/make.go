package certificate

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	authorityLife  = 10 * 365 * 24 * time.Hour
	authorityEarly = 365 * 24 * time.Hour // renewed so long before its end
	leafLife       = 90 * 24 * time.Hour
	leafEarly      = 30 * 24 * time.Hour
	clockSkew      = 24 * time.Hour // that a client's clock may be behind

	localhost = "localhost"
	maxLeaves = 256 // kept at a time
	maxLabel  = 63  // bytes of a label (RFC 1035 2.3.4)
)

// loopback addresses are permitted: they lead to this computer alone.
const maxCommonName = 64 // RFC 5280 A.1

var loopback = []*net.IPNet{
	{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
	{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
}

func authoritySubject(title string) pkix.Name {
	return pkix.Name{Organization: []string{"kith"}, CommonName: title}
}

// newAuthority signs a certificate that permits localhost and names.
func newAuthority(key *ecdsa.PrivateKey, subject pkix.Name, names []string) (pair, error) {
	now := time.Now()
	template := &x509.Certificate{
		Subject:                     subject,
		NotBefore:                   now.Add(-clockSkew),
		NotAfter:                    now.Add(authorityLife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{localhost},
		PermittedIPRanges:           slices.Clone(loopback),
	}
	for _, name := range names {
		if ip := parseIP(name); ip != nil {
			template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
		} else {
			template.PermittedDNSDomains = append(template.PermittedDNSDomains, name)
		}
	}
	made, err := sign(template, template, key, key)
	if err != nil {
		return pair{}, fmt.Errorf("make the authority's certificate: %w", err)
	}
	return pair{key, made}, nil
}

// newLeaf signs a server's certificate for one name: for localhost with the
// addresses.
func newLeaf(ca pair, key *ecdsa.PrivateKey, name string) (*tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: ca.certificate.Subject.Organization, OrganizationalUnit: []string{ca.certificate.Subject.CommonName}},
		NotBefore:   now.Add(-clockSkew),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
	}
	if ip := parseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
		// Clients look at the alternative names, but fetchmail insists on a common name, too. Where there
		// are only addresses, GnuTLS takes it for one more name, and finds it not permitted.
		if len(name) <= maxCommonName {
			template.Subject.CommonName = name
		}
	}
	if name == localhost {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	}
	made, err := sign(template, ca.certificate, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{made.Raw}, PrivateKey: key, Leaf: made}, nil
}

// sign completes the template with a serial number (RFC 5280 4.1.2.2), as no two
// of one issuer may be the same.
func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive, and of one length
	template.SerialNumber = new(big.Int).SetBytes(serial)
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw)
}

// permits reports whether a certificate of the authority permits these names, and
// beside localhost no others.
func permits(c *x509.Certificate, names []string) bool {
	want := []string{localhost, loopback[0].String(), loopback[1].IP.String()}
	for _, name := range names {
		if ip := parseIP(name); ip != nil {
			name = ip.String()
		}
		want = append(want, name)
	}
	have := permitted(c)
	slices.Sort(want)
	slices.Sort(have)
	return slices.Equal(slices.Compact(want), slices.Compact(have))
}

// permitted lists what a certificate of the authority permits: names, then
// addresses.
func permitted(c *x509.Certificate) []string {
	list := slices.Clone(c.PermittedDNSDomains)
	for _, r := range c.PermittedIPRanges {
		if isOne(r) {
			list = append(list, r.IP.String())
		} else {
			list = append(list, r.String())
		}
	}
	return list
}

// isOne reports whether a range is a single address.
func isOne(r *net.IPNet) bool {
	ones, bits := r.Mask.Size()
	return ones == bits
}

// parseIP returns an address in its shortest form, or nil.
func parseIP(text string) net.IP {
	ip := net.ParseIP(text)
	if short := ip.To4(); short != nil {
		return short
	}
	return ip
}

// isLabel reports whether a label is one of those that sites have below localhost.
func isLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
