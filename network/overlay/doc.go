// Package overlay carries bytes between processes that are named by a public
// key and a port, wherever the host with that key is on the network.
//
// An [Overlay] is a [kith.Network]. Dial finds or makes a carrier to the peer,
// opens a stream on it, sends the port, and returns after the far host's
// verdict. Three layers, each in files of its own:
//
//   - A carrier is one authenticated connection to one peer with any number of
//     streams: TLS 1.3 over TCP, multiplexed by yamux (tls.go), or QUIC
//     (quic.go, RFC 9000). All of a peer's addresses are raced (dial.go, RFC
//     8305). On a network of our own TLS over TCP has a short head start, since a
//     byte costs a quarter of the CPU time there, and elsewhere QUIC, which
//     passes NATs. Where no address answers, TLS runs over a relay (below).
//   - A link (link.go) is a carrier in the service of a peer. One link per peer
//     is in use: that on the better path, which is one on the same network (by TLS
//     before QUIC), then a direct one, then a relayed one. When both sides dial at once, both keep
//     the one that the smaller ID dialled and the other retires when its last
//     socket has moved or closed. A peer that restarted, which its hello shows,
//     ends its older links at once; what comes back as it was before is a copy with the same key, and
//     each of the two is heard for some seconds at least.
//   - A socket (socket.go) is a net.Conn that rides on one stream of one carrier
//     at a time, with the semantics of TCP: Close delivers what was written and
//     refuses what the peer still sends, without making the peer lose what it
//     has not read yet.
//
// # Sockets outlive carriers
//
// Each side numbers a socket's bytes and keeps (buffer.go) what the peer's
// program has not read; what is known of the bytes is a state machine
// (resume.go). Streams carry the bytes alone. Positions travel beside them on a
// control stream per carrier and direction (control.go), after 128 KiB or
// half a second, or two where the peer hears of us anyway. When a carrier ends, its sockets are suspended; when it retires in
// favour of another, they move. Both sides seek a path (revive.go), and the
// side that dialled the socket resumes it there (attach.go): it opens a stream
// that names the socket by its 128-bit ID, a generation, its position and the
// instances of both processes. The acceptor takes it from the same key, for a
// known ID, the same instances and a generation above all it has seen, and
// answers with its own position; the dialler confirms, and both send on from the
// other's. Until then the attempt may fail without harm to the socket. An ID that
// it does not know, a restart, what the dialler has forgotten, and a position that
// cannot be end the other side at once.
//
// While something waits for the peer, silence is measured (watch.go): after a second, or
// 4 round trips, the link is pinged; after 3 more, or 8, it has stalled: its
// sockets count as suspended and another carrier is sought. They move when it is
// up, go on if the old one is heard of before, and lose it after 25 s. When this
// host has moved ([Overlay.Moved]) or the peer seems to have, 300 ms are enough.
//
// Programs see a pause. Deadlines go on, Write fills a buffer, and Close and
// CloseWrite are delivered once there is a path. A socket ends with kind
// Unreachable after Config.SuspendFor without one; Serve, a goodbye of the
// peer's host, and Drop end it at once.
//
// # Hosts behind NAT
//
// Whoever has direct carriers to two members relays between them (relay.go),
// within [RelayLimits]. The two ends run their own TLS on the relayed stream
// (relayed.go). The stream's header names the addresses where the caller may be
// dialled, so that the callee dials back by QUIC at once, while the caller, who
// has tried the callee's addresses, has opened its own router. As long as a
// relayed carrier is in use both ends go on trying at the same moment. All QUIC
// goes out of one UDP socket (udp.go), which members see at one outside address
// where the NAT allows it; their hellos say which ([Overlay.Reach]). To an address
// that does not answer three packets are sent, whoever named it, and nine to all
// ports of a computer where no member was met, and then none for a minute, for
// two, for four (contacts.go): 18 or 54 in an hour. Where somebody else answers it
// is a handshake in place of the packets, and five minutes at most. What a member
// says of private addresses cannot be verified: to those on a network of ours, or
// anywhere if it says that it has our outside address, the same few packets are
// sent. Candidates that mean this computer, or many, are passed over.
//
// A relay is trusted with nothing: it sees sealed bytes, and one that lies, or is
// silent, costs the time until the next one is asked.
//
// # Datagrams
//
// An Overlay is a [kith.PacketNetwork], too. A datagram (datagram.go) travels
// in a DATAGRAM frame of QUIC (RFC 9221). Where the carrier is TLS, or it is too
// long for a packet, it travels on a stream of the carrier that each side has
// for them (datagram_link.go), behind an outbox that loses the oldest when the
// path is slower than the sender. Nothing is repeated, and nothing ever waits for
// a carrier but the last 16 datagrams for a host that is being dialled. What
// arrives is queued at its socket (datagram_inbox.go) for a reader who takes from
// each peer in turn.
//
// # Handshake
//
// Mutual TLS 1.3 (RFC 8446) with self-signed Ed25519 certificates that say
// nothing but the key; no authority, no names, no session tickets. Two
// protocols are told apart by ALPN (RFC 7301). On "kith/1" the dialler accepts
// the expected key only. Both sides then exchange a hello (hello.go): the
// dialler's carries the signed entries that admit it; the acceptor's its
// verdict and its own entries; the dialler closes with its own verdict. The
// entries travel here and not in the certificate because a server's
// certificate is sent to strangers too, and because QUIC may answer an unproven
// address with three times what it received only (RFC 9000 8.1). Admission is
// asked after TLS has proved that the peer holds its key. Where the digests of
// what both know of the group differ, the carrier serves Config.SyncPort alone
// until [Overlay.Level]: a revocation precedes all other traffic. On "kith-join/1",
// offered only while an invitation is open, any key gets one bounded exchange
// (join.go) and nothing else: an answer of this host, or a relay to a member.
//
// # Limits
//
// Connections that are not admitted yet are limited in number, per address
// and in all, per relay, and in time (10 s). One caller may have half of a relay's
// places. Joining is limited in rate, and two requests
// of one address are answered at once. A peer has four carriers at most, and
// may hold 2,048 streams open on each. For a reader that does not read, a
// stream buffers 256 KiB at first, 512 KiB on QUIC, and 16 MiB at most. All streams
// of a QUIC carrier together hold at most 32 MiB, then its window stays shut; who
// is not admitted yet has one stream. All TLS
// carriers of a peer hold 64 MiB (unread.go), then the socket whose reader has
// been away longest ends with kind Quota. With all carriers a peer can have 160
// MiB held here, and a well-behaved one 64 MiB, which is what it keeps itself. Dead
// peers are noticed within 60 s, and within 5 s while something waits for them.
//
// A socket keeps 2 to 16 MiB that are not acknowledged, as the round trip asks
// for, the sockets of a peer 64 MiB together and one chunk each beyond that (4 KiB for short messages, else 64 KiB).
// While nothing is outstanding a socket has neither buffers nor goroutines; it
// takes 2.5 KiB on TLS and 1.5 KiB on QUIC, streams included. Without a path a
// socket keeps 256 KiB; a peer's suspended sockets are 1,024 with 32 MiB at most,
// and the one that has waited longest ends first. The same bounds hold for sockets
// that are closed and whose peer does not read, which end after two hours.
//
// A packet socket queues 512 KiB, and the peer that has most in it loses what
// there is no room for. A link has 256 KiB of datagrams that wait to be sent, for
// packets and for its stream each; datagrams wait for 256 hosts that are dialled.
//
// # Locking
//
// Overlay.mu guards the tables of peers, links, ports and sockets and is never
// held while a callback runs or a byte is sent. Sockets have locks of their own,
// which are taken before Overlay.mu and never after it, and so is the one of the
// tables of datagrams; that of a link's vigil is taken before those of sockets.
//
// Addresses, admission and what is proved in a join are the business of
// whoever configures the overlay: package group, by functions.
package overlay
