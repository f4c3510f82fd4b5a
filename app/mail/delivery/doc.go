// Package delivery brings mail from the accounts of this host to those of the group:
// into mailboxes here, and by [kith.Post] to other hosts. [Delivery] takes messages from client programs (Submit,
// RFC 6409), letters of other hosts (Receive), and the news of how this host's letters
// ended (Ended).
//
// A letter's payload is the message byte for byte as it was submitted, the same blob for all hosts that it goes
// to and for the mailboxes of either; its note is the envelope in JSON. The envelope sender and all
// authors of the message have to be addresses on the host whose letter it is, which its key proves. So a list, a forward or
// somebody who resends it puts itself into From ("Bob via film") where the author is of another host, and answers
// go to the author all the same. Letters are not ordered: mail waits for no other mail.
//
// One transaction holds all of a submission: what goes into mailboxes and the letters to other hosts. Before
// it, a plan says what goes where: addresses are looked up, lists expanded, payloads written, so that
// the transaction only writes rows.
//
// A list of this host sends with its owner as the sender, and adds a List-Id (RFC 2919); an account that forwards sends
// with itself as the sender, and adds a Delivered-To. Both add a Received line, and pass on nothing that has their
// own mark, or more than 25 Received lines. What cannot be forwarded stays in the mailbox. An account that is
// away has people answered (RFC 3834), each once in a week. What cannot be delivered is told by a delivery
// status notification (RFC 3464) to the envelope sender, if there is one; as that is always an account of the
// host that sent it, nobody is told of what others sent in his name.
package delivery
