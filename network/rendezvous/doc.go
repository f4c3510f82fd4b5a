// Package rendezvous lets two hosts that share a secret, and know no address
// of each other, meet through the BitTorrent main line: a distributed hash
// table that very many computers hold, and none of ours (BEP 5). It is for an
// invitation that is redeemed far away, and for two members that both moved
// while all others slept. It is off unless its owner turns it on;
// docs/adr/0005 says what it tells to whom.
//
// A [Rendezvous] uses the host's own UDP socket. [Rendezvous.Meet] publishes
// where this host is and yields who else comes; [Rendezvous.Outside] is where
// the DHT sees the socket (BEP 42). The secret comes from [DeriveSecret] or
// [PairSecret].
//
// # Places and boards
//
// HKDF (RFC 5869) makes of the secret, for every day, an Ed25519 key
// (RFC 8032) and a key of AES-256-GCM. The public half names a mutable item
// (BEP 44), the place where the hosts meet that day (keys.go). Hosts write on
// today's place and read yesterday's and tomorrow's as well, so that clocks
// may differ by a day. The item holds a board (board.go): for each of the five
// hosts that were there last its ID, up to eight addresses and its clock's
// time, padded and sealed to the 1,000 bytes that an item may have. One lookup
// reads the board and finds the nodes to write to. Two that write at once
// write over each other; a board is a map in which the later entry of a host
// counts, so that whoever finds something lost writes the union (meet.go).
//
// A forged item fails the signature; an old one that a node replays brings
// nothing that is later than what was seen. Whoever knows the secret can write
// anything: a [Meeting] is a hint where to dial, and the overlay verifies keys.
//
// # Traffic and limits
//
// Nothing is sent unless Meet runs. 20 packets go out in a second at most,
// mostly of 100 bytes, and a lookup asks 64 nodes at most, once each, and ends
// after 30 s; two run at a time. A Meet looks up one place every 2 to 4 s for
// a minute, every 15 to 30 s for ten, every 1 to 2 minutes for an hour, then
// every 5 to 10 minutes; three places every fourth time and when 5 minutes
// have passed. It writes to eight nodes when the board lacks something, and
// every 20 minutes. The first hour sends 160 KB in a DHT of ten nodes; lookups
// in the real one are longer. Packets go to bootstrap nodes and to those that
// other nodes name; a node on the Internet cannot send us into a private
// network.
//
// Hosts sleep, so that this node is read-only (BEP 43): it answers nobody, holds
// nothing for others, and is in nobody's table. Its memory is 64 nodes, 64 views
// of our address, the library's table of 1,280 nodes at most, and per Meet three
// places and 64 peers.
//
// The library, github.com/anacrolix/dht, keeps questions and answers apart,
// codes packets and walks towards a place (nodes.go). It trusts packets more
// than it should; a guard stands before it (socket.go).
//
// # Locking
//
// Rendezvous.mu guards which session serves, session.mu the nodes that it
// knows, views.mu what they saw. None is held while a packet is sent. A Meet
// runs in its caller's goroutine and shares nothing.
package rendezvous
