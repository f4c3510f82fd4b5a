// Package pop3 is the server's half of the Post Office Protocol, version 3 (RFC 1939), with CAPA
// (RFC 2449), STLS (RFC 2595), response codes (RFC 2449, RFC 3206) and AUTH (RFC 5034). [Serve] speaks on one connection; it
// asks a [Backend] who somebody is and what is in his maildrop. Passwords are taken over TLS, and
// without it where Config.Plain allows it.
//
// Commands may come before answers have been read (PIPELINING). A line has 512 bytes at most, of which
// AUTH may send larger ones; a message passes through a small buffer, with its lines ended by CR LF whatever
// ended them. What was marked is deleted at QUIT, and only then.
package pop3
