// Package scheduler decides which block of a content goes from whom to whom: a
// pure state machine for one content on one host, without sockets, goroutines,
// clocks or hashes. The caller hands in what happens, and the time since any fixed
// start; a [Scheduler] says what to send.
//
// # How to drive it
//
// [Scheduler.Join] adds a peer whose handshake is done; the caller sends it our
// bitmap as it is at that moment. Each message of the peer is one call: PeerHas,
// PeerHasBitmap, PeerHasAll, PeerChokes, PeerWants, PeerUnwants, PeerRefused,
// PeerCredit. A block goes to [Scheduler.Arrived] once it is verified and stored, also one
// that was here already, or to [Scheduler.Wrong]. After any of these, and at
// [Scheduler.Wake], [Scheduler.Orders] hands out messages, which are to be sent at
// once: what may wait for company was held back here. Messages to a peer go out in
// that order, before the next block. Whenever the uplink has room,
// [Scheduler.Next] names the next block and its peer; the caller calls Orders
// after that too, so that announcements go along with the block.
//
// Both sides begin choked (BEP 3). A host unchokes its peers at once, except where
// it spends credits.
package scheduler
