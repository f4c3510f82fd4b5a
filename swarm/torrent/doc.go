// Package torrent is the node as an ordinary BitTorrent peer, with a tracker, for
// the torrent clients that people have: what a group shares can be taken with
// them, and they give what they have.
//
// A [Server] serves listeners, which its owner opens on loopback (6881) and
// wherever else he likes. The first byte of a connection tells a peer's handshake
// from a request to the tracker (HTTP, /announce and /scrape), so one port does
// for both. The tracker knows this host, as a peer for every content, and the
// clients that asked it lately. Clients of version 1 (BEP 3, such as aria2) and of
// version 2 (BEP 52, such as libtorrent and qBittorrent) are served alike, with
// the Fast Extension (BEP 6) and the info dictionary for magnet links (BEP 9, 10). A
// client that asks for a hybrid by its first name and understands the second is
// answered with that. Clients that announce themselves and have what is lacking
// here are dialled if they do not come by themselves; those that announce what is not known here are
// remembered for a while, so that they can be asked when somebody wants it.
//
// [Server.Metadata] fetches the description of a content from a client, within 30 seconds
// and 16 MiB, and nothing whose hash is another (metadata.go). [Server.Visit] dials one that may have the
// blocks. Both dial loopback only. libtorrent gives nobody the description of a private torrent (BEP 27), as
// those that kith makes are; the .torrent file does instead. aria2 up to 1.36 knows hybrids by a mistaken name,
// which a magnet link does not tell: likewise.
//
// # Clients outside
//
// Whoever does not come from loopback is outside: on another computer, and maybe a stranger
// ([IsOutside]). What such a client may have is the owner's to say, in one place
// (Config.Content), which the answer to a handshake, an announce and a scrape all ask; what it may not have is
// answered as what is not there, byte for byte. The tracker keeps the two apart: it never names a client of this
// computer to one outside, nor the other way, and tells nobody of addresses of a local network who is not
// on one. Clients outside are not dialled. They have a part of the connections, and of the
// places of those who are served, so that this computer's own find room, and few of each for one address
// or, in IPv6, one network of 64 bits.
//
// What to take is not decided here. The owner's [Content] is told what a [Peer]
// has and sends, and tells it what to ask for: [Peer.Request], [Peer.Cancel],
// [Peer.Have]. What a client asks for is served at once, up to a number of clients at a
// time and to the owner's rates ([Part].Rest), as nothing else wants the way to it. Blocks are checked by the
// content, maybe later ([Peer.Ban]); a client that sends a wrong one is let go, and not served under its
// name for a while.
//
// A connection has two goroutines and constant memory: one block in, one answer out,
// and bounded queues of what was asked. Locks: a Peer's own, which is never
// held while a Content or a [Part] is called, so that these may call a Peer with
// theirs held.
package torrent
