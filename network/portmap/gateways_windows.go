package portmap

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/windows"
)

// gateways returns the default gateways by IPv4, the one in use first.
func gateways() []netip.Addr {
	const flags = windows.GAA_FLAG_INCLUDE_GATEWAYS | windows.GAA_FLAG_SKIP_ANYCAST | windows.GAA_FLAG_SKIP_MULTICAST | windows.GAA_FLAG_SKIP_DNS_SERVER
	size := uint32(32 << 10)
	for range 3 { // the list may grow between two calls
		buf := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buf[0]))
		err := windows.GetAdaptersAddresses(windows.AF_INET, flags, 0, first, &size)
		if err == nil && size > 0 {
			return gatewaysOf(first)
		}
		if !errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) {
			return nil
		}
	}
	return nil
}

func gatewaysOf(first *windows.IpAdapterAddresses) []netip.Addr {
	var adapters []*windows.IpAdapterAddresses
	for a := first; a != nil; a = a.Next {
		if a.OperStatus == windows.IfOperStatusUp {
			adapters = append(adapters, a)
		}
	}
	slices.SortStableFunc(adapters, func(a, b *windows.IpAdapterAddresses) int { return cmp.Compare(a.Ipv4Metric, b.Ipv4Metric) })
	var all []netip.Addr
	for _, a := range adapters {
		for g := a.FirstGatewayAddress; g != nil; g = g.Next {
			if ip, ok := netip.AddrFromSlice(g.Address.IP()); ok && ip.Unmap().Is4() && !slices.Contains(all, ip.Unmap()) {
				all = append(all, ip.Unmap())
			}
		}
	}
	return all
}
