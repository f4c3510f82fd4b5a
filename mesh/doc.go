// Package mesh decides who of a group is connected to whom, so that each member
// finds every other wherever it is: which members this host keeps carriers to,
// where it says that it can be reached, where it looks for the others, and which
// of them are awake.
//
// A [Mesh] is one loop over the state of things. Whatever happens (the roster or
// a record changes, a carrier comes or goes, the host moves) wakes it; it
// then compares what is with what should be and starts what is missing.
// Nothing depends on having seen each event.
//
// # Meeting
//
// A carrier to each member is kept, and over it, on overlay port [SyncPort], the
// exchange by which both have the same roster and address records (group.Sync).
// The one with the smaller ID opens it. A member that does not answer is dialled
// again after a second, then after twice that, up to a minute. The carriers of a
// host that is out of the group are ended once it could be told so.
//
// # Addresses
//
// A host's record says where it can be dialled. A member is looked for where
// multicast saw it and at the addresses of its record; at private ones only on
// a network that this host is on, too: elsewhere the same address is somebody
// else's computer. Nothing is sent to any other address.
//
// # Locking
//
// Mesh.mu guards the tables and is never held while the overlay or the group is
// called.
//
// The package opens nothing, stores nothing and knows no names but those of
// events: the overlay's port, and what is remembered of it, are the node's.
package mesh
