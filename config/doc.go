// Package config keeps what a node must know before it can open anything: where
// its data directory is, the host's private key, and the ports it listens on.
//
// A [Dir] is an open data directory. It holds the directory's lock, so that one
// node at a time runs on it. On disk (directories 0700, files 0600; the system's
// access lists on Windows):
//
//	lock         locked while a node runs; empty
//	key          the host's Ed25519 key, PKCS #8 in PEM (RFC 8410 7)
//	config.json  [Node]: ports, account, and the version of this layout
//
// The other owners of files in the directory are the store, the control socket
// and the applications. The names of host and group are in the group's roster,
// not here.
//
// Files are written beside their place, synced and renamed: after a crash there
// is the old file or the new one. Keys of config.json that this version does
// not know are kept; a directory of a newer layout is refused.
//
// A Dir is safe for concurrent use.
package config
