package composite

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"kith.alt/kith"
)

// Config names the members of a composite network. Addresses of a network that
// is nil fail with kind Denied.
type Config struct {
	IP, Local, Overlay kith.Network

	// Resolve returns the ID of a host by its short or full name, in lower
	// case; it fails with kind NotFound. Nil knows no names.
	Resolve func(name string) (kith.ID, error)
}

// A Network is a [kith.Network] made of others.
type Network struct{ config Config }

// New returns the network that config describes.
func New(config Config) *Network { return &Network{config} }

// Dial dials on the network that address is on.
func (n *Network) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	network, on, err := n.pick(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return network.Dial(ctx, on)
}

// Listen listens on the network that address is on.
func (n *Network) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	network, on, err := n.pick(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return network.Listen(ctx, on)
}

// pick returns the network that address is on, and how that writes it.
func (n *Network) pick(address kith.Address) (kith.Network, kith.Address, error) {
	host := strings.TrimSuffix(strings.ToLower(address.Host), ".")
	switch {
	case kith.IsPath(address.Host):
		return require(n.config.Local, address, "paths")
	case isIP(host):
		return require(n.config.IP, address, "IP addresses")
	case host == "":
		return require(n.config.Overlay, address, "hosts")
	}
	id, err := kith.ParseID(strings.TrimSuffix(host, "."+kith.Domain))
	if err != nil {
		if id, err = n.resolve(host); err != nil {
			return nil, address, err
		}
	}
	return require(n.config.Overlay, kith.Address{Host: id.String(), Port: address.Port}, "hosts")
}

func (n *Network) resolve(name string) (kith.ID, error) {
	if n.config.Resolve == nil {
		return kith.ID{}, fmt.Errorf("no names are known here: %w", kith.NotFound)
	}
	return n.config.Resolve(name)
}

func require(network kith.Network, address kith.Address, what string) (kith.Network, kith.Address, error) {
	if network == nil {
		return nil, address, fmt.Errorf("%s cannot be reached from here: %w", what, kith.Denied)
	}
	return network, address, nil
}

// isIP reports whether host is an IP address, or the name that always is one
// (RFC 6761 6.3).
func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}
