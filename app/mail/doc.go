// Package mail gives the accounts of this host mailboxes that ordinary mail programs use, by IMAP
// and by POP3, and takes what these programs send, by SMTP; each also over TLS. Between hosts mail travels as letters ([kith.Post]).
//
// The work is in sub-packages: message reads what mail is made of, mailbox keeps it, imap and pop
// show it to programs; address says what addresses mean, delivery brings mail where it belongs, submission
// has it from programs; html makes what is written in HTML safe to show. This package makes an application of them, with commands for
// people, and with screens: mail in the browser, of the account that is signed in and of nobody else. Its tables (mail_*) are those of
// packages mailbox and address.
package mail
