// Package mailbox keeps the mail of a host's accounts: folders, messages with their
// flags, the numbers that IMAP needs (RFC 9051 2.3.1), and an index of their words. [Store] is
// what the protocols and the browser work on; it knows none of them.
//
// In the database (tables mail_*): folders, with counters that triggers keep; messages, each in one
// folder under a UID; contents, which copies of a message share: the [kith.Blob] with
// its bytes, which it keeps, and what package message found in it; a log of what was expunged; the
// index of words. UIDs grow, and none is given out twice; a folder that is made again under an
// old name has another UIDVALIDITY. Every change of a folder raises its MODSEQ (RFC 7162), which its messages
// then carry.
//
// Every change is one transaction. Those who look at a folder hold a [View] of it:
// which message has which number for them. When the transaction has committed, the channel
// of View.Changed is closed, and View.Sync asks the database what is new since the view's
// MODSEQ; so nothing is told that is not durable, and a notification that is lost delays only. Views
// that are up to date share one list of UIDs, and one of flags and contents where a client has asked for flags or searched, so
// an idle one costs nothing. The lists of folders that were looked at last are kept.
// [Store.Deliver] works in a transaction of its caller, whose end nobody is told;
// Serve runs an empty Update behind it, and notifies after that.
//
// The index is SQLite's FTS5 over subject, addresses and the text of a message, at most
// 256 KiB of it, without its own copy of them. Contents are indexed soon after they are
// committed, by Serve, from a queue in the database; a search for words first indexes
// what is left. A search string is found where its words stand in that order, each whole, the last
// one as a beginning: "annual rep" finds "annual report", "nual" does not. RFC 9051 6.4.4 has
// substrings; what is asked of other header fields, of strings without letters and digits, and of scripts that
// do not part words by spaces is answered so, by reading messages, as many as a limit allows.
//
// Messages that name one another (References, In-Reply-To) are a conversation, in whatever folders of the account they
// are, at most 200 of them. As with the index, Serve puts messages into one soon after they are committed, and whoever
// looks first puts together what is left; table mail_threads has their IDs, and those that they name.
//
// Store.mu guards the list of folders that are looked at, live.mu one of them; a
// transaction may be opened under live.mu, never under Store.mu.
package mailbox
