// Package discovery lets the members of a group find each other on one local
// network, without the Internet and without knowing an address: by multicast
// DNS (RFC 6762) and DNS-based service discovery (RFC 6763), with
// github.com/libp2p/zeroconf.
//
// A node announces an instance of the service _kith._udp.local under a tag,
// an opaque text that only those who know the group and the host's ID can
// compute: the LAN learns that kith runs here, and neither for whom nor with
// whom. A node browses for tags that it wants. That is a hint where to dial,
// and proof of nothing; the overlay verifies keys.
//
// [LAN.Serve] browses for two seconds at a time, at first often and then ever
// more rarely, down to once an hour (RFC 6762 5.2), and starts over when the
// network interfaces or the own port change. Whoever appears on a network
// browses, so that a pair meets when its later half comes. Between browses it
// only answers. Each browse reads a bounded number of answers, takes at most
// eight addresses of each, and only addresses on links that the host is on.
//
// Where there is no other interface it works on the loopback one, between the
// nodes of one computer. Where there is no multicast at all it says so once
// and goes on trying.
package discovery
