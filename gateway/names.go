package gateway

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"kith.alt/kith"
)

const (
	dashboardHost = "localhost"
	localDomain   = "." + dashboardHost // of sites' origins
	kithDomain    = "." + kith.Domain
	webPort       = 80
)

// SiteURL returns where a browser on this host reads the site of a host, when
// the web gateway has the given port. Names too long for one label of a host
// name give way to the ID.
func SiteURL(name kith.Name, id kith.ID, port int) string {
	return origin(siteLabel(name.String(), id)+localDomain, port) + "/"
}

// siteLabel returns the label below localhost that stands for a site, from its
// full name or "<ID>.kith.alt".
func siteLabel(fullName string, id kith.ID) string {
	name, err := kith.ParseName(fullName)
	if err != nil {
		return id.String()
	}
	label := name.Host + "--" + name.Group
	if len(label) > kith.MaxLabel {
		return id.String()
	}
	return label
}

// parseSiteLabel is the inverse: it returns the full name, or "<ID>.kith.alt".
func parseSiteLabel(label string) (string, error) {
	if id, err := kith.ParseID(label); err == nil {
		return id.String() + kithDomain, nil
	}
	host, group, ok := strings.Cut(label, "--")
	if !ok {
		return "", fmt.Errorf("%q is not HOST--GROUP: %w", label, kith.Invalid)
	}
	for _, part := range []string{host, group} {
		if err := kith.CheckLabel(part); err != nil {
			return "", err
		}
	}
	return kith.Name{Host: host, Group: group}.String(), nil
}

// fullName checks a host that a program asks the proxy for and returns its
// full name, or "<ID>.kith.alt". The error is of kind Denied for what the
// proxy never connects to: IP addresses in any spelling, localhost, and names
// of the Internet.
func (g *Gateway) fullName(host string) (string, error) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if id, err := kith.ParseID(strings.TrimSuffix(host, kithDomain)); err == nil {
		return id.String() + kithDomain, nil
	}
	if strings.HasSuffix(host, kithDomain) {
		name, err := kith.ParseName(host)
		if err != nil {
			return "", err
		}
		return name.String(), nil
	}
	switch {
	case looksNumeric(host) || strings.Contains(host, ":"):
		return "", fmt.Errorf("%.100q is an IP address, and this proxy connects by name only: %w", host, errOutside)
	case host == dashboardHost || strings.HasSuffix(host, localDomain):
		return "", fmt.Errorf("%.100q is this computer itself, which this proxy never connects to: %w", host, errOutside)
	case kith.CheckLabel(host) != nil:
		return "", fmt.Errorf("%.100q is not a name below %s, and this proxy leads nowhere else: %w", host, kith.Domain, errOutside)
	}
	return kith.Name{Host: host, Group: g.config.Self().Group}.String(), nil
}

// looksNumeric reports whether resolvers and browsers may take host for an
// IPv4 address: its last label is a number, decimal, octal or hexadecimal
// (the "ends in a number" check of the WHATWG URL standard).
func looksNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// splitHost splits a Host field into its lower-case name and its port, which
// is 80 where none is given.
func splitHost(hostPort string) (host string, port int, ok bool) {
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return strings.ToLower(hostPort), webPort, hostPort != "" && !strings.ContainsAny(hostPort, ":[]")
	}
	number, err := strconv.ParseUint(portText, 10, 16)
	return strings.ToLower(host), int(number), err == nil && host != "" && number != 0
}

// origin writes an HTTP origin as browsers do (RFC 6454 6.2).
func origin(host string, port int) string {
	if port == webPort {
		return "http://" + host
	}
	return "http://" + host + ":" + strconv.Itoa(port)
}
