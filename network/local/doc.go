// Package local carries bytes between the processes of one host, by
// Unix-domain sockets, on Windows too. An address is a path in the file system
// and has no port.
//
// Only the user who listens gets through: the socket is a file of mode 0600,
// its directory is made with mode 0700 where it is missing, and on Linux and
// macOS both ends ask the system for the other's user. That says nothing about
// a host, so no connection has a [kith.Peer].
//
// The system takes socket paths of about a hundred bytes. Where a path is
// longer, the socket lies in a directory of its own below the system's
// temporary one, and the path is a file that holds the real path.
//
// A process that was killed leaves its file behind. Listen removes it when
// nobody answers there any more, and holds a lock on the directory meanwhile so
// that of two processes which start at once one gets the path and the other
// InUse. (Windows has no such lock; there the two could meet.)
package local
