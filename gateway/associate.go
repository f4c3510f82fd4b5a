package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gateway/loopback"
	"kith.alt/kith/proto/socks"
)

const (
	maxAssociations   = 64  // at once
	maxCorrespondents = 256 // of one association, that may answer
)

// An association carries datagrams between a client and members (RFC 1928 7)
// until the client closes its connection. The client sends from one address,
// which is known when its first datagram came. Who was sent something may
// answer, from the same port, under the name that the client used.
type association struct {
	*proxy
	relay  *net.UDPConn   // to the client, on loopback
	socket net.PacketConn // to the members
	client netip.Addr     // the host of the client's connection
	port   uint16         // that the client announced, or 0

	known          chan struct{}  // closed when from is set
	from           netip.AddrPort // where the client sends from
	refused        netip.AddrPort // the last other one that may not
	correspondents correspondents
}

// serveAssociation answers CommandAssociate and carries datagrams until conn
// ends.
func (p *proxy) serveAssociation(ctx context.Context, conn net.Conn, request socks.Request) {
	if p.config.ListenPacket == nil {
		p.refuseSOCKS(conn, request, socks.CommandUnsupported, nil)
		return
	}
	defer p.associations.Add(-1)
	if p.associations.Add(1) > maxAssociations {
		p.refuseSOCKS(conn, request, socks.GeneralFailure, fmt.Errorf("%d associations: %w", maxAssociations, kith.Quota))
		return
	}
	a, err := p.newAssociation(ctx, conn, request)
	if err != nil {
		p.refuseSOCKS(conn, request, failureOf(err).reply, err)
		return
	}
	defer a.close()
	defer conn.Close()
	if socks.WriteAssociated(conn, a.relay.LocalAddr().(*net.UDPAddr).AddrPort()) != nil {
		return
	}
	conn.SetDeadline(time.Time{})
	p.associated.Add(1)

	up, down := make(chan struct{}), make(chan struct{})
	go func() { defer close(up); defer conn.Close(); a.carryUp() }()
	go func() { defer close(down); defer conn.Close(); a.carryDown() }()
	io.Copy(io.Discard, conn)
	a.close()
	<-up
	<-down
}

func (p *proxy) newAssociation(ctx context.Context, conn net.Conn, request socks.Request) (*association, error) {
	near, nearOK := beneath(conn).LocalAddr().(*net.TCPAddr)
	far, farOK := beneath(conn).RemoteAddr().(*net.TCPAddr)
	if !nearOK || !farOK {
		return nil, fmt.Errorf("datagrams need a client by TCP: %w", kith.Invalid)
	}
	relay, err := net.ListenUDP("udp", &net.UDPAddr{IP: near.IP, Zone: near.Zone})
	if err != nil {
		return nil, fmt.Errorf("relay of datagrams: %w", err)
	}
	socket, err := p.config.ListenPacket(ctx, kith.Address{})
	if err != nil {
		relay.Close()
		return nil, err
	}
	return &association{
		proxy: p, relay: relay, socket: socket,
		client: far.AddrPort().Addr().Unmap().WithZone(""), port: request.Port,
		known: make(chan struct{}), correspondents: newCorrespondents(),
	}, nil
}

func (a *association) close() {
	a.relay.Close()
	a.socket.Close()
}

// carryUp sends what the client sends. What cannot be sent is lost.
func (a *association) carryUp() {
	buffer := make([]byte, 64<<10) // the longest that UDP has: Windows takes what does not fit for an error
	for {
		n, from, err := a.relay.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if !a.admits(netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())) {
			continue
		}
		far, payload, err := socks.ParseDatagram(buffer[:n])
		if err == nil {
			err = a.send(far, payload)
		}
		if err != nil {
			a.config.Log.Debug("datagram refused", "addr", far.Target(), "err", err)
		}
	}
}

// admits reports whether from is the client's address. The first that may be
// it is.
func (a *association) admits(from netip.AddrPort) bool {
	switch {
	case a.from.IsValid():
		return from == a.from
	case from.Addr() != a.client, a.port != 0 && from.Port() != a.port, from == a.refused:
		return false
	case !a.config.Shared && !loopback.SameUserPacket(from, a.config.Log):
		a.refused = from
		return false
	}
	a.from = from
	close(a.known)
	return true
}

func (a *association) send(far socks.Request, payload []byte) error {
	if far.Name == "" {
		a.badTargets.Add(1)
		return fmt.Errorf("%s is an IP address, and this proxy sends by name only: %w", far.Target(), errOutside)
	}
	name, err := a.fullName(far.Name)
	if err != nil {
		a.badTargets.Add(1)
		return err
	}
	s, err := a.lookUp(name)
	if err != nil {
		return err
	}
	to := kith.Address{Host: s.id.String(), Port: far.Port}
	a.correspondents.note(to, far.Name)
	_, err = a.socket.WriteTo(payload, to)
	return err
}

// carryDown sends the client what its correspondents send.
func (a *association) carryDown() {
	buffer, wire := make([]byte, kith.MaxDatagram), []byte(nil)
	for {
		n, from, err := a.socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		address, err := kith.AddressOf(from)
		if err != nil {
			continue
		}
		name, ok := a.correspondents.name(address)
		if !ok {
			continue
		}
		<-a.known // it is: the client has sent something
		wire = socks.AppendDatagram(wire[:0], socks.Request{Name: name, Port: address.Port}, buffer[:n])
		a.relay.WriteToUDPAddrPort(wire, a.from)
	}
}
