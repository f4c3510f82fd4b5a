//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package portmap

import (
	"net/netip"
	"slices"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// gateways returns the default gateways by IPv4, the one in use first.
func gateways() []netip.Addr {
	table, err := route.FetchRIB(unix.AF_INET, route.RIBTypeRoute, 0)
	if err != nil {
		return nil
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, table)
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, message := range messages {
		m, ok := message.(*route.RouteMessage)
		const up = unix.RTF_UP | unix.RTF_GATEWAY
		if !ok || m.Flags&up != up || m.Flags&unix.RTF_HOST != 0 || len(m.Addrs) <= unix.RTAX_NETMASK {
			continue
		}
		destination, ok1 := m.Addrs[unix.RTAX_DST].(*route.Inet4Addr)
		gateway, ok2 := m.Addrs[unix.RTAX_GATEWAY].(*route.Inet4Addr)
		mask, masked := m.Addrs[unix.RTAX_NETMASK].(*route.Inet4Addr)
		if !ok1 || !ok2 || destination.IP != [4]byte{} || masked && mask.IP != [4]byte{} {
			continue
		}
		if a := netip.AddrFrom4(gateway.IP); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
