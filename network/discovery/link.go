package discovery

import (
	"net"
	"net/netip"
	"slices"

	"github.com/libp2p/zeroconf/v2"
)

// maxAddresses bounds what is believed of one node.
const maxAddresses = 8

// A link is a network interface and the prefixes that are reached on it.
type link struct {
	iface    net.Interface
	prefixes []netip.Prefix
}

// systemLinks returns the host's links that are up and carry multicast; where
// there is none, the loopback one.
func systemLinks() ([]link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var links, loopback []link
	for _, iface := range all {
		prefixes := prefixesOf(iface)
		switch {
		case iface.Flags&net.FlagUp == 0 || len(prefixes) == 0:
		case iface.Flags&net.FlagLoopback != 0:
			loopback = append(loopback, link{iface, prefixes})
		case iface.Flags&net.FlagMulticast != 0 && iface.Flags&net.FlagPointToPoint == 0:
			links = append(links, link{iface, prefixes})
		}
	}
	if len(links) == 0 {
		return loopback, nil
	}
	return links, nil
}

func prefixesOf(iface net.Interface) []netip.Prefix {
	addresses, err := iface.Addrs()
	if err != nil {
		return nil // it has gone meanwhile
	}
	var prefixes []netip.Prefix
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

func sameLinks(a, b []link) bool {
	return slices.EqualFunc(a, b, func(a, b link) bool {
		return a.iface.Index == b.iface.Index && a.iface.Name == b.iface.Name && slices.Equal(a.prefixes, b.prefixes)
	})
}

func interfaces(links []link) []net.Interface {
	list := make([]net.Interface, len(links))
	for i, l := range links {
		list[i] = l.iface
	}
	return list
}

// loopbackAddresses returns the addresses to announce on a loopback link. On
// others the library finds those of each link itself.
func loopbackAddresses(links []link) []string {
	var list []string
	for _, l := range links {
		for _, prefix := range l.prefixes {
			if prefix.Addr().IsLoopback() {
				list = append(list, prefix.Addr().String())
			}
		}
	}
	return list
}

// onLink returns the addresses of a node that are on one of the links. Others
// could send us anywhere.
func onLink(e *zeroconf.ServiceEntry, links []link) []netip.AddrPort {
	if e.Port <= 0 || e.Port > 0xffff {
		return nil
	}
	var list []netip.AddrPort
	for _, ip := range slices.Concat(e.AddrIPv4, e.AddrIPv6) {
		address, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		address = address.Unmap()
		for _, l := range links {
			if !slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(address) }) {
				continue
			}
			zoned := address
			if address.IsLinkLocalUnicast() && address.Is6() {
				zoned = address.WithZone(l.iface.Name)
			}
			found := netip.AddrPortFrom(zoned, uint16(e.Port))
			if !slices.Contains(list, found) {
				list = append(list, found)
			}
			if len(list) == maxAddresses {
				return list
			}
		}
	}
	return list
}
