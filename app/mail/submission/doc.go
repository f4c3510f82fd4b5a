// Package submission takes mail from client programs: message submission (RFC 6409) by SMTP (RFC 5321), on
// loopback, with STARTTLS (RFC 3207) or within TLS (RFC 8314). What becomes of a message is package delivery's
// to say; it has it on disk before the client hears 250.
//
// Programs sign in (RFC 4954) by SCRAM-SHA-256 or PLAIN, with TLS, or without where nobody can
// listen. Before that there is EHLO, STARTTLS, NOOP, RSET and QUIT, and a minute's time. They send as their own
// addresses only. There is PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), CHUNKING (RFC 3030, without
// BINARYMIME), ENHANCEDSTATUSCODES (RFC 2034), DSN (RFC 3461, of failures and of success, not of delays) and LIMITS (RFC 9422); not SMTPUTF8, as no
// address here has letters beyond ASCII.
//
// The conversation is go-smtp's. Its reader of DATA ends a message at CRLF.CRLF and
// nowhere else, but passes on a CR or an LF that stands alone; package delivery refuses the message then, so that no two
// programs see different messages in it. (CRLF.CR followed by another character loses the dot and the CR in
// that reader. Nothing ends there.) The library asks for a domain in every address: account@localhost is the
// short form.
//
// A connection costs two goroutines and some 12 KiB; a message on its way in, 64 KiB more.
package submission
