// Package pop lets mail programs at INBOX by POP3 (RFC 1939), plain with STLS (RFC 2595), or over TLS from the start
// (RFC 8314). A [Server] accepts connections, limits them, and has package pop3 speak on each; package
// mailbox has the mail.
//
// A maildrop is INBOX as it was at signing in; one connection of an account has it at a time (RFC 1939 4). The unique ID of
// a message is UIDVALIDITY and UID, as other servers have it, so that it stays the same
// as long as the message is there.
package pop
