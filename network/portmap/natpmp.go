package portmap

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"kith.alt/kith/proto/pcp"
)

// A natpmpClient speaks NAT-PMP (RFC 6886) with a gateway.
type natpmpClient struct {
	gateway netip.Addr
	wire    wire
}

func (*natpmpClient) name() string { return "nat-pmp" }

func (c *natpmpClient) ask(ctx context.Context, protocol string, port uint16, external netip.AddrPort, lifetime time.Duration) (netip.AddrPort, time.Duration, error) {
	conn, _, err := c.wire.dialUDP(ctx, c.gateway, c.wire.pcp)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	defer conn.Close()
	var address netip.Addr
	if lifetime > 0 {
		answer, err := converse(ctx, conn, pcp.AddressRequest(), func(r pcp.Response) bool {
			return r.Version == pcp.VersionNATPMP && !r.Mapping
		})
		if err != nil {
			return netip.AddrPort{}, 0, fmt.Errorf("outside address: %w", err)
		}
		address = answer.External.Addr()
	}
	request := pcp.Request{Protocol: number(protocol), Internal: port, External: external, Lifetime: lifetime}
	answer, err := converse(ctx, conn, request.NATPMP(), func(r pcp.Response) bool {
		return r.Version == pcp.VersionNATPMP && r.Mapping && r.Protocol == request.Protocol && r.Internal == port
	})
	return netip.AddrPortFrom(address, answer.External.Port()), answer.Lifetime, err
}
