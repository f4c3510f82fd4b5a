// Package socks speaks SOCKS version 5 (RFC 1928): the server's half of the
// handshake and the client's, and nothing that comes before or after it.
//
// A server calls [ReadRequest] on a new connection, connects to what the
// [Request] names, and answers with [WriteReply]; a client calls [Connect].
// Both then use the connection as if it led to the target. Every byte is read
// exactly: nothing that follows the handshake is taken from the connection, so
// that the caller can hand it on untouched, to the kernel for instance. What
// arrives is bounded by the format (519 bytes at most); deadlines, dialling
// and copying are the caller's.
//
// Datagrams (RFC 1928 7) begin with such a handshake, too: [Associate] and
// [WriteAssociated]. Each carries its far address in front: [AppendDatagram]
// and [ParseDatagram].
//
// The only authentication method is "none required" (RFC 1928 3): the package
// is for loopback, where the operating system says who calls. GSSAPI, and
// fragments of datagrams, are left out.
//
// Well-kept libraries serve whole connections: they resolve, dial, choose the
// reply by searching the error's text, and answer "address type not supported"
// when the connection they were given has no IP address, as connections by key
// have none. This package leaves those choices to its caller.
package socks
