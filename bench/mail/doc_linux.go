// Mail measures the mail servers of a node beside Postfix 3 and Dovecot 2, in one run on
// one disk, in turns: the rounds of one side stand between those of the other. It needs root, and Debian's packages
// postfix, dovecot-imapd and dovecot-lmtpd; the servers have configurations of their own below the temporary directory,
// listen on loopback only, and end with the benchmark.
//
// Both sides speak without TLS to the same client on loopback, which is written here, and have the same
// messages of 4 KiB.
//
//   - Submission, by 1, 8 and 32 senders, each on one connection: messages a second
//     until the last one is accepted, and until the last one is in the mailbox, as IMAP's STATUS says. Either side accepts what is on the disk:
//     a node has one synced transaction for the mailbox; Postfix syncs its queue file, and hands it by LMTP to Dovecot, which syncs
//     the file in the Maildir (mail_fsync is "optimized", its default; flags are not synced). A node has its senders sign in,
//     Postfix trusts loopback.
//   - IMAP, in a mailbox of 10,000 messages: all of them fetched, and their envelopes; 1,000 flags set one by
//     one, and all at once; searches for a subject, a rare word and a word that is everywhere (Dovecot as Debian has it, without
//     a full-text index, reads; its cache is warm); from APPEND on one connection to EXISTS on another, which idles.
//   - Memory: what 1,000 idle IMAP connections of 20 people, signed in with a mailbox selected, add to the
//     proportional set size (PSS) of all processes of the side.
//
// A goal is the peer's figure: a ratio is kith's share of it, above 1 where kith is ahead.
package main
