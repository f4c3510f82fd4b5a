package door

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pion/logging"
	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
)

// Answer tells those on the links of this computer's addresses that a name below .local
// is this computer, until ctx ends. It fails where there is no multicast.
func Answer(ctx context.Context, name string, addresses []netip.Addr) error {
	links, err := linksOf(addresses)
	if err != nil {
		return fmt.Errorf("answer for %s: %w", name, err)
	}
	if len(links) == 0 {
		<-ctx.Done()
		return nil
	}
	group, err := net.ResolveUDPAddr("udp4", mdns.DefaultAddressIPv4)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp4", group) // shared with the system's own responder
	if err != nil {
		return fmt.Errorf("answer for %s: %w", name, err)
	}
	silent := logging.NewDefaultLoggerFactory()
	silent.DefaultLogLevel = logging.LogLevelDisabled
	responder, err := mdns.Server(ipv4.NewPacketConn(conn), nil, &mdns.Config{LocalNames: []string{name}, Interfaces: links, LoggerFactory: silent})
	if err != nil {
		return errors.Join(fmt.Errorf("answer for %s: %w", name, err), conn.Close())
	}
	<-ctx.Done()
	return responder.Close()
}

// linksOf returns the network interfaces that have some of the addresses, for multicast.
func linksOf(addresses []netip.Addr) (links []net.Interface, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, link := range all {
		if link.Flags&net.FlagUp == 0 || link.Flags&net.FlagMulticast == 0 {
			continue
		}
		own, err := link.Addrs()
		if err != nil {
			continue // it went away in between
		}
		if slices.ContainsFunc(own, func(a net.Addr) bool {
			ipnet, ok := a.(*net.IPNet)
			if !ok {
				return false
			}
			ip, _ := netip.AddrFromSlice(ipnet.IP)
			return slices.Contains(addresses, ip.Unmap())
		}) {
			links = append(links, link)
		}
	}
	return links, nil
}
