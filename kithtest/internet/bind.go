package internet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"kith.alt/kith"
	"kith.alt/kith/network/underlay"
)

var _ underlay.Internet = (*Host)(nil)

// ListenUDP is that of underlay.Internet. A taken port is EADDRINUSE, too, and an
// address that the host does not have EADDRNOTAVAIL, as from the kernel. Its
// socket offers neither SyscallConn nor ReadMsgUDP.
func (h *Host) ListenUDP(ctx context.Context, host string, port uint16) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := bind(h, ctx, h.packets, host, port)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: err}
	}
	s := newPacketConn(h, at)
	h.packets[at] = s
	return s, nil
}

// ListenTCP is that of underlay.Internet. Its errors are those of
// [Host.ListenUDP].
func (h *Host) ListenTCP(ctx context.Context, host string, port uint16) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := bind(h, ctx, h.listens, host, port)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	l := newListener(h, at)
	h.listens[at] = l
	return l, nil
}

// bind finds the address for a socket that is to be one of sockets.
func bind[S any](h *Host, ctx context.Context, sockets map[netip.AddrPort]S, host string, port uint16) (netip.AddrPort, error) {
	if err := ctx.Err(); err != nil {
		return netip.AddrPort{}, err
	}
	address := netip.IPv4Unspecified()
	switch host {
	case "", "::":
	case "localhost":
		address = loopback
	default:
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return netip.AddrPort{}, &net.AddrError{Err: "not an IP address", Addr: host}
		}
		if address = ip.Unmap(); !address.IsUnspecified() && !h.owns(address) {
			return netip.AddrPort{}, syscall.EADDRNOTAVAIL
		}
	}
	if port == 0 {
		free, ok := h.freePort(func(port uint16) bool { return bound(sockets, netip.AddrPortFrom(address, port)) })
		if !ok {
			return netip.AddrPort{}, errInUse
		}
		port = free
	}
	at := netip.AddrPortFrom(address, port)
	if bound(sockets, at) {
		return netip.AddrPort{}, errInUse
	}
	return at, nil
}

var errInUse = fmt.Errorf("%w: %w", syscall.EADDRINUSE, kith.InUse)

// shown returns the address and port of a socket as net shows them: one for
// all addresses is [::].
func shown(at netip.AddrPort) netip.AddrPort {
	if at.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
	}
	return at
}
