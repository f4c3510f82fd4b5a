package door

import (
	"fmt"
	"net/netip"
	"slices"

	"kith.alt/kith"
)

// An Opening is whom a door lets in, and at which addresses of this computer. Its zero
// value is nobody.
type Opening struct {
	to      string     // kith.OpenLAN, kith.OpenAny, or the text of address
	address netip.Addr // of this computer
}

// Parse reads what an owner says: [kith.OpenLAN], [kith.OpenAny], an address of this computer, or ""
// for nobody. It fails with kind Invalid.
func Parse(text string) (Opening, error) {
	switch text {
	case "", kith.OpenLAN, kith.OpenAny:
		return Opening{to: text}, nil
	}
	a, err := netip.ParseAddr(text)
	a = a.Unmap()
	switch {
	case err != nil:
		return Opening{}, fmt.Errorf("%.60q is neither %s nor %s nor an address of this computer such as 192.168.1.7: %w", text, kith.OpenLAN, kith.OpenAny, kith.Invalid)
	case a.IsLoopback():
		return Opening{}, fmt.Errorf("at %s are the programs of this computer, which are served in any case: %w", a, kith.Invalid)
	case a.IsUnspecified():
		return Opening{}, fmt.Errorf("%s means all addresses; say %s: %w", a, kith.OpenAny, kith.Invalid)
	case !usable(a):
		return Opening{}, fmt.Errorf("programs on other computers cannot use %s: %w", a, kith.Invalid)
	}
	return Opening{to: a.String(), address: a}, nil
}

// String returns what [Parse] reads.
func (o Opening) String() string { return o.to }

// Address returns the one address that is open, where it is one.
func (o Opening) Address() (netip.Addr, bool) { return o.address, o.address.IsValid() }

// Addresses returns where to listen, of the addresses of this computer.
func (o Opening) Addresses(interfaces []netip.Prefix) []netip.Addr {
	var list []netip.Addr
	for _, p := range interfaces {
		a := p.Addr().Unmap()
		if !usable(a) || slices.Contains(list, a) {
			continue
		}
		if o.to == kith.OpenAny || o.to == kith.OpenLAN && isLocal(a) || o.address.IsValid() && o.address == a {
			list = append(list, a)
		}
	}
	return list
}

// Admits reports whether a program at an address elsewhere is let in. A router may pass strangers
// on to an address of the local network.
func (o Opening) Admits(remote netip.Addr) bool {
	return o.to != "" && (o.to != kith.OpenLAN || isLocal(remote.Unmap()))
}

// usable reports whether programs elsewhere can be told of an address: a URL or a
// setting has no zone, which those of a link in IPv6 need.
func usable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && a.Zone() == "" || a.Is4() && a.IsLinkLocalUnicast()
}

// isLocal reports whether an address is of a network that others reach through a router
// at most.
func isLocal(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() }
