package torrent

import (
	"net"
	"net/http"
	"net/netip"
)

const (
	maxOutside   = 150 // connections from other computers; the rest of maxConnections is kept for this one
	maxOfOrigin  = 16  // of these, from one origin
	maxAnnounced = 8   // clients of one origin that the tracker knows, of each content

	maxUnchokedOutside = 24 // of maxUnchoked
)

// IsOutside reports whether a client at an address is on another computer; what
// is no address counts as one.
func IsOutside(remote netip.Addr) bool { return !remote.Unmap().IsLoopback() }

// remoteOf returns where a client is; zero where that is no address of IP.
func remoteOf(conn net.Conn) netip.Addr { return addressOf(conn.RemoteAddr()).Addr() }

// originOf returns what counts as one client's addresses: in IPv6 a network of 64
// bits, as whoever has one address there has all of them. What is no address has the
// zero origin.
func originOf(remote netip.Addr) netip.Prefix {
	bits := 32
	if remote.Is6() {
		bits = 64
	}
	origin, _ := remote.Prefix(bits)
	return origin
}

// A quota counts clients, of which only some may be outside.
type quota struct {
	most, mostOutside int
	taken, outside    int
}

// take reports whether there is room for one more, which it takes.
func (q *quota) take(outside bool) bool {
	if q.taken >= q.most || outside && q.outside >= q.mostOutside {
		return false
	}
	q.taken++
	if outside {
		q.outside++
	}
	return true
}

func (q *quota) release(outside bool) {
	q.taken--
	if outside {
		q.outside--
	}
}

// reachedAt returns the address at which a client on the other side of a router reaches this host, as
// it says itself: only its own answer depends on that. Clients of this computer, and those that say
// nothing of use, are told where the connection ends.
func reachedAt(conn net.Conn, r *http.Request) netip.AddrPort {
	local := addressOf(conn.LocalAddr())
	if !IsOutside(remoteOf(conn)) {
		return local
	}
	at := hostAddress(r.Host)
	if at.Port() == 0 || !at.Addr().IsGlobalUnicast() {
		return local
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// reachable reports whether a client at from can do anything with the address to: those of
// a local network mean nothing, or another computer, elsewhere.
func reachable(from, to netip.Addr) bool { return isLocal(from) || !isLocal(to) }

func isLocal(a netip.Addr) bool { return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() }
