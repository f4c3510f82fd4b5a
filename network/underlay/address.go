package underlay

import "net/netip"

// IsPublic reports whether an address means one host everywhere.
func IsPublic(a netip.Addr) bool { return a.IsGlobalUnicast() && !IsPrivate(a) }

// IsPrivate reports whether an address is one that many networks have, behind
// a router of their own or of their provider, or on one link.
func IsPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || carrierGrade.Contains(a)
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// IsBroadcast reports whether an address means all computers of a network.
func IsBroadcast(network netip.Prefix, a netip.Addr) bool {
	return a.Is4() && network.Bits() < 31 && network.Masked().Contains(a) &&
		(a == network.Masked().Addr() || !network.Contains(a.Next()))
}
