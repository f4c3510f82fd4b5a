// Package composite is the one network that a node's services see. It picks
// the network that carries the bytes by how the host of an address is written:
//
//	192.0.2.1, 2001:db8::1, localhost   IP
//	/run/user/1000/kith.sock            the processes of this host
//	an ID, <ID>.kith.alt                the overlay
//	maple, maple.home.kith.alt          the overlay, by the ID that the name has
//	""                                  the overlay, this host itself
//
// Names are resolved by the group, never by DNS: an address of the Internet has
// to be an IP address. Datagrams go to the overlay only. It holds no state.
package composite
