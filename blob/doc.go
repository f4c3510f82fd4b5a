// Package blob keeps a host's private bytes by their hash: letters, messages.
// A [Store] is the node's [kith.Blobs].
//
// A blob of at most 16 KiB is a row of the database, so that it costs nothing
// beyond the transaction that keeps it; until then it is in memory. A larger
// one is a file, which has reached the disk, name and bytes, before Write
// returns. On disk (directories 0700, files 0600):
//
//	ab/cdef…   a blob, by its SHA-256 in hexadecimal
//	new-N      one that is being written
//
// and in the database the table blob_kept: how often each blob is kept, which the
// caller's transaction changes, and the bytes of small ones.
//
// A file is written beside its place, synced, renamed, and the directory synced,
// so that a name always stands for all of its bytes. A row exists only while a
// file does: it is inserted by a transaction that begins when the file is durable, and
// the file is deleted when the row is gone for certain. What is on disk without
// a row goes: when its writers' contexts and its readers have ended, and, after
// a crash, at the next Load.
//
// Nobody is told that a transaction has ended, but as there is one at a time, an
// empty Update that began later has waited for it. So the sweeper, a goroutine of the
// Store, collects what may have to go (released to zero, or written by somebody
// whose context has ended), runs an empty Update, and then deletes the files that
// no committed row names and that nobody writes, reads or has just written. A
// caller that moves a blob keeps it before releasing it: the last Release takes
// the row at once.
//
// Store.mu is held for short work only, and while the sweeper looks up one row and
// removes one file. The lock of a file that several write at once, use.publishing, is
// taken before it.
package blob
