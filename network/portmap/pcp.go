package portmap

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/pcp"
)

// A pcpClient speaks PCP (RFC 6887) with a gateway.
type pcpClient struct {
	gateway netip.Addr
	wire    wire
	nonce   pcp.Nonce
}

func (*pcpClient) name() string { return "pcp" }

func (c *pcpClient) ask(ctx context.Context, protocol string, port uint16, external netip.AddrPort, lifetime time.Duration) (netip.AddrPort, time.Duration, error) {
	conn, local, err := c.wire.dialUDP(ctx, c.gateway, c.wire.pcp)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	defer conn.Close()
	request := pcp.Request{
		Protocol: number(protocol), Internal: port, External: external, Lifetime: lifetime,
		Client: local, Nonce: c.nonce,
	}
	answer, err := converse(ctx, conn, request.PCP(), func(r pcp.Response) bool {
		if !r.Mapping || r.Version != pcp.VersionPCP { // it knows NAT-PMP at most (RFC 6887 9)
			return r.Result.Failed()
		}
		return r.Nonce == request.Nonce && r.Protocol == request.Protocol && r.Internal == port
	})
	return answer.External, answer.Lifetime, err
}

// converse sends a request and returns the answer to it, the first that about
// accepts. An answer that says no is an error of kind Denied.
func converse(ctx context.Context, conn net.Conn, request []byte, about func(pcp.Response) bool) (pcp.Response, error) {
	var answer pcp.Response
	err := exchange(ctx, conn, request, func(packet []byte) bool {
		r, err := pcp.Parse(packet)
		if err != nil || !about(r) {
			return false
		}
		answer = r
		return true
	})
	if err == nil && answer.Result.Failed() {
		err = fmt.Errorf("%w: %w", answer.Result, kith.Denied)
	}
	if err != nil {
		return pcp.Response{}, err
	}
	return answer, nil
}

func number(protocol string) byte {
	if protocol == TCP {
		return pcp.TCP
	}
	return pcp.UDP
}
