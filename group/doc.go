// Package group keeps a group of hosts: who is in it, what they are called,
// where they may be found, and how all of them come to agree on that without
// anybody in the middle.
//
// # Roster
//
// The truth of a group is a set of signed entries ([Entry]) that form a
// hash-linked graph: each names the heads that its author had seen, back to
// the genesis entry, whose hash is the group's identity. [Merge] is a pure
// function from such a set to a [Roster], so that hosts with the same entries
// agree whatever the order in which they met them. docs/roster.md says how it
// decides and why that ends, and what an attacker can and cannot do.
//
// # Tickets
//
// An admin invites with a [Ticket], at most 200 characters. The secret in it
// is the seed of a key; the invite entry holds the public half, and the joiner
// signs the joining handshake's exporter (RFC 8446 7.5) with it, so
// that any admin's host can redeem it and none learns the secret. [Join] is
// the joiner's side, [Group.Redeem] the admin's. [Ticket.Meeting] is another
// secret made of it, by which the two can find each other first.
//
// # Group
//
// [Group] is what a node holds: the entries, the current roster, every member's
// [Whereabouts], and [Group.Sync], by which two members bring each other up to
// date over one connection and stay so. A member needs exchanges with a few
// others only: what is new goes from each to its neighbours, over a connection
// mostly once, never back to whom it came from, and in batches where much
// comes at a time. [Group.Digest] is what two hosts compare first.
//
// [Group.Beat] sends a signed sign of life the same way, and [Group.Heard] says
// when that of another came.
//
// One mutex serialises what changes a group; the entry is durable before the
// change is seen and before the call returns. Readers take immutable snapshots
// and never wait for the disk. A host is in one group at a time: [Group.Replace]
// puts the next one into the store and ends all changes of the one before.
//
// # Layout on disk
//
// Three tables in the node's store: group_state (one row: the genesis hash),
// group_entries (bodies and signatures byte for byte, in an order in which
// parents come first, with the time each was received) and group_records (the
// newest address record of each member: where it was last). Heartbeats are
// nowhere but in memory.
//
// # Left to others
//
// The handshake, the join exchange's framing and the ports belong to the
// overlay; which addresses of a record are tried, and when, too. Who has
// exchanges with whom, and how often it beats, is the mesh's. That a name once
// used for one key is not moved to another without asking is the node's.
package group
