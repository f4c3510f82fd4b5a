package portmap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/soap"

	"kith.alt/kith"
)

// What a gateway calls the service that maps ports, the newest first.
var connectionServices = []string{
	"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
}

// Codes of errors (WANIPConnection:2 2.5.16).
const (
	conflictInMapping   = 718 // somebody else has the port
	onlyPermanentLeases = 725
	conflictElsewhere   = 729 // and not by UPnP
)

const (
	maxServices = 4 // asked for their outside address
	portTries   = 4 // before everything is taken
)

// A upnpClient speaks UPnP with a gateway. It keeps the service that it found.
type upnpClient struct {
	gateway netip.Addr
	wire    wire
	service *connectionService
}

func (*upnpClient) name() string { return "upnp" }

func (c *upnpClient) ask(ctx context.Context, protocol string, port uint16, external netip.AddrPort, lifetime time.Duration) (netip.AddrPort, time.Duration, error) {
	if lifetime == 0 {
		if c.service == nil {
			return netip.AddrPort{}, 0, fmt.Errorf("nothing was mapped: %w", kith.NotFound)
		}
		return netip.AddrPort{}, 0, c.service.unmap(ctx, protocol, external.Port())
	}
	conn, local, err := c.wire.dialUDP(ctx, c.gateway, c.wire.ssdp)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	defer conn.Close()
	if c.service == nil {
		if c.service, err = c.find(ctx, local); err != nil {
			return netip.AddrPort{}, 0, err
		}
	}
	address, err := c.service.address(ctx)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	wish := external.Port()
	for range portTries {
		seconds := int(lifetime / time.Second)
		err = c.service.mapPort(ctx, protocol, wish, netip.AddrPortFrom(local, port), seconds)
		if isFault(err, onlyPermanentLeases) {
			err = c.service.mapPort(ctx, protocol, wish, netip.AddrPortFrom(local, port), 0)
		}
		if !isFault(err, conflictInMapping) && !isFault(err, conflictElsewhere) {
			break
		}
		wish = 1024 + uint16(rand.IntN(1<<16-1024))
	}
	return netip.AddrPortFrom(address, wish), lifetime, err
}

// find asks the network for the gateway's description, and the description for
// a service that has an outside address.
func (c *upnpClient) find(ctx context.Context, local netip.Addr) (*connectionService, error) {
	client := httpClient(c.gateway)
	failure := error(fmt.Errorf("no answer: %w", kith.Unreachable))
	var found *connectionService
	err := c.wire.search(ctx, local, c.gateway, func(location string) bool {
		root, err := describe(ctx, client, location)
		if err != nil {
			failure = err
			return false
		}
		failure = fmt.Errorf("the gateway has no service that maps ports: %w", kith.Unreachable)
		for _, s := range connections(root) {
			service := &connectionService{s.ServiceType, soap.SOAPClient{EndpointURL: s.ControlURL.URL, HTTPClient: *client}}
			address, err := service.address(ctx)
			if err == nil && usable(netip.AddrPortFrom(address, 1)) {
				found = service
				return true
			}
			failure = errors.Join(err, fmt.Errorf("the gateway has no outside address: %w", kith.Temporary))
		}
		return false
	})
	switch {
	case found != nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	return nil, failure
}

// connections returns the services of a gateway that map ports.
func connections(root *goupnp.RootDevice) []*goupnp.Service {
	var services []*goupnp.Service
	for _, kind := range connectionServices {
		for _, s := range root.Device.FindService(kind) {
			if s.ControlURL.Ok && len(services) < maxServices {
				services = append(services, s)
			}
		}
	}
	return services
}

// A connectionService is WANIPConnection or WANPPPConnection of a gateway. It
// is safe for concurrent use.
type connectionService struct {
	kind string
	soap soap.SOAPClient
}

func (s *connectionService) address(ctx context.Context) (netip.Addr, error) {
	var out struct{ NewExternalIPAddress string }
	if err := s.call(ctx, "GetExternalIPAddress", nil, &out); err != nil {
		return netip.Addr{}, err
	}
	address, err := netip.ParseAddr(strings.TrimSpace(out.NewExternalIPAddress))
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("the gateway's outside address is none: %w", kith.Temporary)
	}
	return address.Unmap(), nil
}

func (s *connectionService) mapPort(ctx context.Context, protocol string, external uint16, internal netip.AddrPort, seconds int) error {
	return s.call(ctx, "AddPortMapping", &struct {
		NewRemoteHost, NewExternalPort, NewProtocol, NewInternalPort, NewInternalClient, NewEnabled, NewPortMappingDescription, NewLeaseDuration string
	}{
		NewExternalPort:           strconv.Itoa(int(external)),
		NewProtocol:               strings.ToUpper(protocol),
		NewInternalPort:           strconv.Itoa(int(internal.Port())),
		NewInternalClient:         internal.Addr().String(),
		NewEnabled:                "1",
		NewPortMappingDescription: "kith",
		NewLeaseDuration:          strconv.Itoa(seconds),
	}, nil)
}

func (s *connectionService) unmap(ctx context.Context, protocol string, external uint16) error {
	return s.call(ctx, "DeletePortMapping", &struct{ NewRemoteHost, NewExternalPort, NewProtocol string }{
		NewExternalPort: strconv.Itoa(int(external)),
		NewProtocol:     strings.ToUpper(protocol),
	}, nil)
}

// call runs an action. What the gateway refuses is a fault, of kind Denied.
func (s *connectionService) call(ctx context.Context, action string, in, out any) error {
	client := s.soap
	err := client.PerformActionCtx(ctx, s.kind, action, in, out)
	var refused *soap.SOAPFaultError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("%s: %w", action, fault(refused.Detail.UPnPError.Errorcode))
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%s: no answer, or none that is understood: %w", action, kith.Unreachable) // err quotes the answer, however long
}

// A fault is the code with which a gateway refuses an action.
type fault int

func (f fault) Error() string   { return fmt.Sprintf("refused with error %d", int(f)) }
func (f fault) Is(k error) bool { return k == kith.Denied }

func isFault(err error, code fault) bool {
	var f fault
	return errors.As(err, &f) && f == code
}
