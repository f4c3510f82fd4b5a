// Package post brings letters to hosts that may be asleep: the second of the three primitives
// ([kith.Post]). docs/adr/0008-post.md says why it is made as it is.
//
// # The life of a letter
//
// An application sends a letter in a transaction of the store; when that commits the letter is not
// lost any more. [Post] seals it to the receiver's key (seal.go) and offers it to the receiver, or, where that sleeps, to
// members that hold it (custody.go, custodians.go, holders.go). Whoever has it offers it to the receiver when that wakes. There it is opened and
// handed to the application of the same name, in the transaction that also stores the receipt
// (inbox.go): the effect happens once. Receipts go round among all members (receipts.go), end the copies, and
// tell the sender.
//
// What the application says to a letter with an error of kind Invalid, NotFound, Denied or Expired is a
// refusal, and goes back as one. After other errors the letter comes again: after a second, then after twice as long each
// time, up to five minutes, until it expires. Ordered letters of one sender wait for the one before, for a minute at most.
//
// A host that was restored from a backup learns from the numbers of its own receipts, which others know, that it
// had received more. It goes on above them, asks for those letters again, and lists what nobody kept
// (lost.go). Of each start it remembers where its numbers end, so that this also shows where it has signed others since. A copy of a host, which stops when it meets the other, gives what it had received back to members for that one
// (handover.go).
//
// # Conversation
//
// Members talk on [Port] of the overlay (talk.go, hear.go, frames.go), with frames of package gossip. Each side says how much it holds for
// others and how far its receipts go. Letters are offered by their signed headers, up to 64 at a time; the
// other side answers which it wants, has, or has no room for, and says of each when it is durable. A letter that ended or was sealed anew before its
// body went is withdrawn. One that comes from one member is not taken from another at the same time, but for two minutes: who offers
// a letter and does not bring it holds up nobody for longer. A member keeps a talk with those
// that a path leads to anyway (at most 32), and calls others when there is a letter for them.
//
// # Whom to believe
//
// Header, contents and receipt are signed, each with a domain of its own (Ed25519, RFC 8032), and name the group: in another one they count for nothing. A
// custodian checks the header's signature and the hash of what it holds; it cannot read it, and learns sender,
// receiver, padded size and expiry. Only the receiver's receipt ends a letter. That a member holds a letter is signed by that member,
// and passed on so; one that signs and does not hold it costs a copy of three; one that floods reaches its quota, and its frames are taken at a bounded pace.
//
// # Locking
//
// Post.mu guards everything in memory and is never held while anything waits; a talk's own mutex is taken after it. What
// is in memory follows the store: it changes after the transaction.
//
// # Layout on disk
//
// Tables post_* in the node's store (migrations/0001_post.sql tells each); payloads and sealed letters are [kith.Blobs]. The payload is
// there before the receiver's transaction begins, so that an application that keeps it writes a row and no file.
//
// # Left to others
//
// Who is a member and awake is the mesh's; the key that letters are sealed to travels in the group's records
// ([Config.ShowKey]); what a letter means is its application's.
package post
