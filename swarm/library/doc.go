// Package library keeps the list of what a group shares: [kith.Entry] values,
// each signed by its host, and each member's holdings, which are hints whom to
// ask for content.
//
// # Records
//
// An entry travels and is kept as its host wrote it: a JSON object and an
// Ed25519 signature (RFC 8032) over it, with a domain of its own. It names the
// group that its host was in: in another one it counts for nothing, so that a host
// that changes groups does not take its list along (group.go). Fields that
// this release does not know stay in it byte for byte. Of the records with one
// host and title the one with the highest version stays, of one version the one
// published last, and of these the greater in bytes: so every library comes to
// the same list, in whatever order records arrive, and an old copy never takes
// the place of a newer one. A withdrawn entry is a record, too, and stays for
// [TombstoneLife], so that it reaches those who sleep; its host remembers it
// longer, and withdraws it again where an older version turns up.
//
// A host that was restored from a copy learns its own records from the members
// it meets. What it published since then goes on above them. Versions end at
// [MaxVersion]; a record of that version gives way to one published later, so
// that no host can lock itself out of a title; those that claim to come from
// the future do not count there.
//
// Of a host with more than [MaxEntries] titles every library keeps the same
// ones. Records of hosts that are not members are not taken, not shown and not
// passed on.
//
// # Holdings
//
// A host's holdings are one record: eight bytes of each content ID, sorted. The
// newest of a host takes the place of the one before. They are kept in memory
// only.
//
// # Conversation
//
// [Library.Sync] talks to one member over one connection (sync.go, wire.go).
// Both say hello with a digest of all that they have. Where the two differ,
// each asks the other for a digest per host, says which versions it has of the
// hosts that differ, and gets what it lacks. It pulls, one question at a time,
// so that memory for each connection is constant, and a host's entries in one
// conversation at a time, so that they come once.
//
// What a host publishes later is pushed as it comes, and pushed on, but not
// back to whom it came from; holdings are offered. What came as an answer is no
// news: the neighbours hear of it by the digest, which each tells the others
// when its own has changed. Who dropped something, as in a flood or of a
// stranger, asks again when the digests still differ after half a minute, then
// less and less often. When nothing changes nothing is sent.
//
// A member is taken at a pace, on each connection and in all that it signed:
// beyond a burst ten records a second.
//
// # Locking
//
// Library.changing serialises what changes records; it is held while they are
// stored, and taken first. Library.mu guards the tables in memory and is never
// held while anything waits.
//
// # Layout on disk
//
// One table in the node's store: library_entries, with body and signature byte
// for byte. An entry is there before it is seen.
//
// # Left to others
//
// Who has conversations with whom, and everything about content, is the
// swarm's; who is a member is the group's.
package library
