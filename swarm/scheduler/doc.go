// Package scheduler decides which block of a content goes from whom to whom: a
// pure state machine for one content on one host, without sockets, goroutines,
// clocks or hashes. The caller hands in what happens, and the time since any fixed
// start; a [Scheduler] says what to send. The same calls and the same Config.Seed give
// the same decisions.
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
// after that too, so that announcements go along with the block. The later
// Next is called, the better it decides: blocks that wait in a socket are decided.
//
// # The aim
//
// One seed with an uplink of u_s cannot bring F bits to N takers in less than
// max{F/u_s, F/d_min, N·F/(u_s+Σu_i)} (Kumar and Ross 2006). The first term asks that
// no block leaves the seed twice before each left once, the third that no uplink
// rests. The simulation in the tests holds the scheduler to both.
//
// # Push: credits
//
// Who has everything, and something that it sent nobody and nobody announced, chokes
// the peers that speak credits (BEP 3: it answers no requests). A taker gives such a peer
// a credit: up to n blocks of its choice may be under way to it. A block leaves the
// window when the taker announces it. The seed gives each fresh block to one taker: the
// one that has passed on most of what it was given (its backlog counts the
// blocks that nobody else announced), so that fast uplinks get more than slow ones, and who
// passes nothing on gets little. Neighbouring blocks whose hashes share a proof
// (Config.Group) go to the same taker. Seeds know nothing of each other but
// what takers announce; they begin at groups of which nobody has anything, by chance, and where
// there are several they take the blocks of a group by chance, so that they rarely choose the same. When nothing
// fresh is left, or what is left went away with who had it, the seed unchokes
// and requests rule: whoever is unchoked stays so.
//
// # Pull: requests
//
// All else is asked for. Each peer is asked for as much as keeps it busy for a quarter of
// a second at the rate it has shown, several blocks in a message where that is due, near peers first, for the rarest blocks of a sample of
// those it has and we lack. A block is asked of one peer at a time. A peer with nothing to do
// takes over a request from one that would answer clearly later, and the
// loser is cancelled: not only in the end game, as a busy relay is the usual
// case. That gambles that the block has not left yet; where more than one block in 128
// came twice, only safe moves are made. A peer that sends nothing for some seconds is left
// for a while, each time longer, and reported at the third time. What a reader waits
// for ([Scheduler.Want]) is asked for first, also of a seed that chokes us, and such a seed
// gives it every second turn.
//
// # Who is sent what
//
// Peers that ask take turns, and get the rarest of what they asked for, where what
// was sent to a peer counts as had by it. A peer that lacks more than the others gets more
// turns (by the fourth power, up to 16), as the last one counts: who has few neighbours, came late, or has
// a fast uplink and so little to ask of itself, is complete when the others are.
//
// Announcements go along with blocks and requests to the same peer, or wait for a third of a second
// where the uplink is in use: in a large swarm their frames cost more than they do.
//
// # Cost
//
// A scheduler keeps 2.25 bytes for each block, and one bit for each block of each
// peer that has some but joined without everything. A decision takes time in proportion to the number of
// peers, and none to that of blocks: with 32 peers 0.3 µs for a block sent, 2 µs for
// one taken.
//
// A limit that is known: peers are believed. Who announces everything and delivers
// wrong blocks, or none, is found out by whoever asks it; who never announces what it was given
// gets more turns than it needs, and is complete the sooner.
package scheduler
