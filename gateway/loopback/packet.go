package loopback

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
)

// SameUserPacket reports whether the UDP socket at local, on this host, belongs
// to the operating-system user who runs this process: whether a datagram from
// there is to be believed. Where several sockets share the address, all must.
// Where the system does not tell it reports true. It takes as long as reading
// the system's table of sockets: ask once for each address, not for each
// datagram.
func SameUserPacket(local netip.AddrPort, log *slog.Logger) bool {
	owners, err := packetOwners(local)
	if errors.Is(err, errors.ErrUnsupported) {
		return true
	}
	if err != nil {
		log.Debug("refused datagrams whose user cannot be told", "addr", local.String(), "err", err)
		return false
	}
	for _, uid := range owners {
		if uid != os.Geteuid() {
			log.Warn("refused datagrams of another user of this computer", "uid", uid, "addr", local.String())
			return false
		}
	}
	return len(owners) > 0
}
