// Package swarm shares content among the members of a group: whoever takes some
// gives it to the next, so that a file reaches many as fast as it reaches one.
//
// A [Swarm] is the node's [kith.Swarm]. Content is named by the hash of its
// description, a BitTorrent info dictionary (BEP 52), and consists of blocks of 16
// KiB, each of which is checked against the Merkle tree of its file when it
// arrives. What this host has or takes is a holding (holdings.go, take.go); what
// it offers is published (publish.go) and listed in the group's library (package
// library), whose entries members pass on to each other. Files lie in the store of package
// content.
//
// # A person's files
//
// A newer version takes the place of an older one file by file (update.go). What this
// host put there before makes way; all else is a person's, and is kept beside the
// new file as "NAME (kept DATE)": an edit is never overwritten. What a person
// published and changed since is found by Verify, and pauses with a reason until it is
// shared or taken again (verify.go); the files of it that are still right are given
// to others.
//
// # Exchange
//
// While somebody takes a content, here or elsewhere, it has an exchange
// (exchange.go), with a link (link.go) to each peer: a socket of the overlay on
// [Port], of which there is one for each peer and content. It begins with a greeting
// (wire.go) and goes on with the messages of BEP 3, 6 and 52, in which a "piece" is a
// block; those of our own are few: credits, introductions, pings. A taker asks
// whoever it was told of, whoever says in the library that it has the content, and then all members that
// are awake; each peer names others, so that all who take the same content soon
// know each other.
//
// Who asks whom for what, and who gets the next block, is decided by a state machine
// (package scheduler), one for each exchange. There is neither choking nor tit-for-tat:
// the group is closed, and members want each other to have the content. A seed sends
// what it has sent to nobody yet to takers who gave it a credit, unasked, and
// with the proof of its hashes; all else is asked for, the rarest first.
//
// # Torrent clients
//
// Those of this computer take part in an exchange as members do (clients.go, package torrent).
// Those of other computers do where the owner opened the door, in what he marked as public (open.go). The
// mark is this host's own: it is in the table of holdings, never in an entry of the library. The next version of what
// is published here inherits it; that of what another member publishes does not.
//
// # Torrent clients as the only source
//
// Where no member has a content, clients of this computer give it (leads.go): those that announce
// themselves to the tracker of package torrent, and those that a magnet link names (x.pe), which are
// asked for the description, too (BEP 9). Clients of version 1 give no hashes. What they give is
// held (gather.go): on disk, told to nobody and given to nobody, until a piece is whole. If the hash of
// the tree above the piece is known, from a .torrent file or a peer, it decides at once. Else the piece's SHA-1
// does, and the piece is held on until all of its file came and the root is compared: what a
// SHA-1 alone vouches for is no member's business, as whoever makes a torrent could make two pieces
// with one. Should the root differ the torrent contradicts itself, and is paused with that reason. A
// member that has the hashes settles what is held as soon as it comes. A wrong piece costs the client
// that gave all of it its place; where several gave, they are asked one at a time, and whoever gave blocks
// that differ from the right ones goes.
//
// # Uplink
//
// One uplink (uplink.go) serves all exchanges. It decides late, a block at a time,
// and at the rate that the link carries: a controller (pacer.go) measures
// one-way delays beside the blocks and holds the queue in front of the link at 2 ms. So
// a call or a key stroke on the same line is not disturbed, and the link is full all the same.
// Blocks that take long to leave are written in pieces, spread over that time.
//
// # Limits
//
// A link has 1 MiB of messages waiting at most, 64 blocks that wait for their hashes (those of torrent
// clients wait on disk), and
// on a fast line 16 blocks to send, else one. A content has 80 links, of which a taker opens 40. Who sends a block or
// hashes that are wrong, or breaks the rules, is left for an hour (bans.go), and named in the log. Rates, disk for
// copies, and what each member may have of them are the owner's to set (limits.go); a torrent client is
// held to the rates as a member is (bucket.go).
//
// # Locking
//
// Swarm.mu guards the tables; that of an exchange is taken before those of its
// links and never together with Swarm.mu, but for asking who is a member. Swarm.listing is held
// while something is published or its following changes, and taken before the others. Files are read
// and written, and hashes computed, outside of all.
package swarm
