package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/pcp"
)

// A wire is how packets get to the gateway, and at which ports it listens.
type wire struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	listen func(ctx context.Context, network, address string) (net.PacketConn, error)
	pcp    uint16
	ssdp   uint16
	group  netip.AddrPort // where UPnP's question is sent beside the gateway
}

func systemWire() wire {
	return wire{
		dial:   new(net.Dialer).DialContext,
		listen: new(net.ListenConfig).ListenPacket,
		pcp:    pcp.Port,
		ssdp:   1900,
		group:  netip.MustParseAddrPort("239.255.255.250:1900"),
	}
}

// A question is sent in so many packets, with twice the patience after each.
// Both are less than the standards allow (RFC 6886 3.1, RFC 6887 8.1.1): there
// are other protocols to try.
const (
	packets  = 3
	patience = 250 * time.Millisecond
)

const maxPacket = 1500 // of an answer

// dialUDP connects a socket to the gateway: it hears nobody else. It also
// returns the address from which the host speaks to the gateway.
func (w wire) dialUDP(ctx context.Context, gateway netip.Addr, port uint16) (net.Conn, netip.Addr, error) {
	conn, err := w.dial(ctx, "udp", netip.AddrPortFrom(gateway, port).String())
	if err != nil {
		return nil, netip.Addr{}, fmt.Errorf("%w: %w", err, kith.Unreachable)
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		conn.Close()
		return nil, netip.Addr{}, err
	}
	return conn, local.Addr().Unmap(), nil
}

// exchange sends packet on a connected socket until answered accepts what came
// back. It fails with kind Unreachable, or as ctx does.
func exchange(ctx context.Context, conn net.Conn, packet []byte, answered func([]byte) bool) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, maxPacket)
	wait := patience
	for range packets {
		conn.SetDeadline(time.Now().Add(wait))
		wait *= 2
		_, err := conn.Write(packet)
		for err == nil {
			var n int
			if n, err = conn.Read(buf); err == nil && answered(buf[:n]) {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) { // the gateway's kernel said that nobody listens
			return fmt.Errorf("%w: %w", err, kith.Unreachable)
		}
	}
	return fmt.Errorf("no answer: %w", kith.Unreachable)
}
