// Package mesh decides who of a group is connected to whom, so that each member
// finds every other wherever it is: which members this host keeps carriers to,
// where it says that it can be reached, where it looks for the others, and which
// of them are awake.
//
// A [Mesh] is one loop over the state of things. Whatever happens (the roster
// changes, a carrier comes or goes, the host moves) wakes it; it takes a view,
// compares what is with what should be, and starts what is missing. Nothing
// depends on having seen each event.
//
// # Neighbours
//
// In a group of up to eight everybody keeps a carrier to everybody. In a larger
// one a host keeps them to its neighbours on a ring of all members
// (neighbours.go), eight at most in a group of 200, in which any member is then
// eight steps at most from any other; to two members that can be dialled, if it cannot,
// so that others reach it through them; and to whoever has sockets open. Other
// carriers are ended, by the side that dialled, after two minutes. A host that
// is not connected at all dials everybody, those first that were neighbours.
// Once a minute each host dials a member, at random, that it believes asleep:
// that heals a group which has fallen apart.
//
// Over each carrier, on overlay port [SyncPort], the two bring their roster and
// records up to date (exchange.go; group.Sync), which neighbours go on doing as
// long as the carrier lasts. The carriers of a host that is out of the group are
// ended once it could be told so.
//
// # Presence
//
// A member is online when it was heard of within a minute: by a carrier, or in a
// large group by the signed heartbeat that each sends every 20 seconds to its
// neighbours, who pass it on, every five seconds what came meanwhile
// (presence.go). One that said goodbye is offline at once to those that had a
// carrier to it; to the rest of a large group it is so a minute after its last
// heartbeat came. One that lost its carrier and does not answer is offline at
// once in a small group.
//
// # Addresses
//
// A host's record says where it can be dialled (whereabouts.go): the addresses
// of its interfaces, those at which members see it, those that its router passes
// on (portmap) and that its owner names; through which members; and what kind of
// NAT it is behind. It changes at once when the host moves, else when the
// changes have settled, and every five seconds at most, in a large group fifteen.
//
// A member is looked for where it was met or multicast saw it and at the
// addresses of its record (addresses.go); at private ones only on a network that
// this host is on, too, or behind the same router: elsewhere the same address is
// somebody else's computer. Nothing is sent to any other address. Where the
// owner allows it, members that cannot be found so are sought through the
// BitTorrent DHT (introduce.go).
//
// # Locking
//
// Mesh.mu guards the tables. It is held while the group's snapshots are read,
// and never while the overlay is called.
//
// The package opens no port and stores nothing: the overlay's port, and what is
// remembered of it, are the node's.
package mesh
