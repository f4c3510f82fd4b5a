// Package imap lets mail programs at the mailboxes: IMAP4rev2 (RFC 9051) and IMAP4rev1 (RFC 3501), plain with
// STARTTLS, or over TLS from the start (RFC 8314). A [Server] accepts connections, limits them, and gives each a
// session; package go-imap speaks the protocol and calls the session; package mailbox has the mail.
//
// Extensions: IDLE (RFC 2177), NAMESPACE (RFC 2342), BINARY (RFC 3516), UNSELECT (RFC 3691), UIDPLUS (RFC 4315),
// ESEARCH (RFC 4731), SASL-IR (RFC 4959), ENABLE (RFC 5161), SEARCHRES (RFC 5182), LIST-EXTENDED (RFC 5258),
// LIST-STATUS (RFC 5819), SPECIAL-USE (RFC 6154), MOVE (RFC 6851), UTF8=ACCEPT (RFC 6855), LITERAL- (RFC 7888),
// APPENDLIMIT (RFC 7889), STATUS=SIZE (RFC 8438). The library has no CONDSTORE and QRESYNC (RFC 7162), although the
// mailboxes know what these need, no QUOTA (RFC 9208) and no SORT; it runs the commands of
// a connection one after the other. An account that is full answers OVERQUOTA (RFC 5530).
//
// Passwords are taken over TLS, and without it only where Config.Trusted says that nobody can
// listen. Everything is bounded: connections, in all and of an account; the rate of commands; commands and literals
// (by the library); a message is written to and read from its blob as it passes, never held in
// memory. What is written is gathered until the client is waited for, so that an answer of many lines is
// not a system call for each; a connection that waits has no buffer for it.
//
// Who has not signed in after a minute is sent away, and who stops in the middle of a command or a literal. The library takes for
// commands what follows a literal that it refuses and was not asked about (RFC 7888 4); clients that keep to LITERAL- send none.
//
// A session runs one command at a time and may be told at the same time to end; session.busy
// guards it.
package imap
