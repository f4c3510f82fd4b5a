package underlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// System returns the operating system's Internet.
func System() Internet { return system{} }

type system struct{}

// Carriers ping for themselves.
var listenConfig = net.ListenConfig{KeepAlive: -1}

func (system) ListenTCP(ctx context.Context, host string, port uint16) (net.Listener, error) {
	return listenConfig.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
}

func (system) ListenUDP(ctx context.Context, host string, port uint16) (net.PacketConn, error) {
	return listenConfig.ListenPacket(ctx, "udp", net.JoinHostPort(host, fmt.Sprint(port)))
}

func (system) DialTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	return dialer.DialContext(ctx, "tcp", address.String())
}

func (system) Interfaces() []netip.Prefix {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var prefixes []netip.Prefix
	for _, a := range addresses {
		if ipnet, ok := a.(*net.IPNet); ok {
			ip, _ := netip.AddrFromSlice(ipnet.IP)
			ones, _ := ipnet.Mask.Size()
			prefixes = append(prefixes, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return prefixes
}

func (system) Changes(ctx context.Context) <-chan struct{} {
	changes := make(chan struct{}, 1)
	context.AfterFunc(ctx, func() { close(changes) })
	return changes
}
