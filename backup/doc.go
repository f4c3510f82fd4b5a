// Package backup puts a host into one file, and a host back out of it: the same
// one, with its ID, accounts, group and everything that its applications store.
//
// [Begin] makes a [Stream] of a node that runs, [Save] a file of the stream,
// [Verify] reads a file to its end, and [Restore] makes a data directory.
//
// # What is in it
//
// The host's key, its certificate authority, its configuration, the database, and
// the blobs that the database names. The key is not sealed: who has the file can
// be this host. Not in it are copies of what other members share, which they have,
// what this person shares from folders outside of the data directory, and sockets,
// locks and logs.
//
// The database is a snapshot, made by SQLite's online backup in one reading
// transaction, which also tells the blobs. While a stream is open, no blob's file is
// deleted, so that each that the snapshot names is there; all else goes on.
//
// # The file
//
// A tar archive (POSIX 1003.1, GNU's form of large sizes), compressed with Zstandard
// (RFC 8878), so that "tar --zstd -x" opens it, too:
//
//	manifest.json        version 1: the host, the time, and what follows
//	key, config.json     of the data directory
//	certificate/…        likewise
//	kith.db              the snapshot
//	blobs/ab/cdef…       as package blob has them, in the order of their names
//
// The manifest has the size and SHA-256 of each of the others but blobs, whose names
// are their SHA-256; of these it has the number. Whatever reads a file compares all of
// it and stops at the first difference. Files and directories that are made appear
// under their names when they are whole and have reached the disk; what a
// killed process left beside them is removed by the next one.
package backup
