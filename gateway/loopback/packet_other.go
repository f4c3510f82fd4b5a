//go:build !linux

package loopback

import (
	"errors"
	"net/netip"
)

func packetOwners(netip.AddrPort) ([]int, error) { return nil, errors.ErrUnsupported }
