// Package portmap asks the router in front of this host to pass on what comes
// for the overlay's port, so that other members can dial it.
//
// A [Mapper] speaks, in this order and until one works, PCP (RFC 6887),
// NAT-PMP (RFC 6886) and UPnP (WANIPConnection 1 and 2, WANPPPConnection 1)
// with the default gateway, for UDP and TCP. It asks for 2 h, again at half of
// what was granted and at least every 10 minutes, and at once after [Mapper.Again]:
// asking for what is there already changes nothing, and it is all there is to do
// about a router that restarted and forgot, without announcements and epochs
// (RFC 6887 8.5, 14.1), which would take another open port. Serve deletes the
// mappings when it ends; those of a process that was killed end by themselves,
// or are taken over when Config.Nonce is the same.
//
// Nothing is sent but to the default gateway, and one multicast question of
// UPnP on its network. Nothing is believed but what comes from the gateway's
// address: packets are bounded by their size, answers over HTTP by size and
// time, redirects are not followed, and an outside address must be one that
// packets can come from. It may be private or shared (RFC 6598): behind two
// routers the members between the two can use it.
//
// Only the gateways of IPv4 are looked for.
package portmap
