package underlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"kith.alt/kith"
)

// System returns the operating system's Internet. Its ListenUDP returns a
// *net.UDPConn, its ListenTCP a *net.TCPListener, its DialTCP a *net.TCPConn.
func System() Internet { return system{} }

type system struct{}

// udpBuffer is how many bytes of datagrams the kernel is asked to keep in each
// direction: 30 ms at a gigabit per second. It may grant less.
const udpBuffer = 4 << 20

// Carriers ping for themselves.
var (
	listenConfig = net.ListenConfig{KeepAlive: -1}
	dialer       = net.Dialer{KeepAlive: -1}
)

func (system) ListenTCP(ctx context.Context, host string, port uint16) (net.Listener, error) {
	l, err := listenConfig.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	return l, inUse(err)
}

func (system) ListenUDP(ctx context.Context, host string, port uint16) (net.PacketConn, error) {
	conn, err := listenConfig.ListenPacket(ctx, "udp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, inUse(err)
	}
	udp := conn.(*net.UDPConn)
	udp.SetReadBuffer(udpBuffer)
	udp.SetWriteBuffer(udpBuffer)
	return udp, nil
}

func (system) DialTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	return dialer.DialContext(ctx, "tcp", address.String())
}

func (system) Interfaces() []netip.Prefix {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var prefixes []netip.Prefix
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away in between
		}
		for _, a := range addresses {
			if ipnet, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(ipnet.IP)
				ones, _ := ipnet.Mask.Size()
				prefixes = append(prefixes, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
	}
	return prefixes
}

// Windows reports a taken port in its own numbers: the second also where another
// program claims the port for itself alone.
const (
	wsaAddrInUse syscall.Errno = 10048
	wsaAccess    syscall.Errno = 10013
)

func inUse(err error) error {
	for _, taken := range []error{syscall.EADDRINUSE, wsaAddrInUse, wsaAccess} {
		if errors.Is(err, taken) {
			return fmt.Errorf("%w: %w", err, kith.InUse)
		}
	}
	return err
}
