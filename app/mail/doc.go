// Package mail gives the accounts of this host mailboxes that ordinary mail programs use: by IMAP
// and by POP3, each also over TLS.
//
// The work is in sub-packages: message reads what mail is made of, mailbox keeps it, imap and pop
// speak with programs. This package makes an application of them; its tables (mail_*) are those of
// package mailbox.
package mail
