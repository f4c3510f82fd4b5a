// Package account keeps the people of a host: who they are and what they
// prove it with. [Open] gives [Accounts].
//
// An account has a name, and up to four ways in:
//
//   - a one-time link, made by whoever runs the node, opens the dashboard; it
//     is good for ten minutes and lives in memory;
//   - a password that its person chose opens the dashboard and nothing else.
//     It is stored as Argon2id (RFC 9106) with 19 MiB and two passes, and
//     prepared by the OpaqueString profile (RFC 8265 4.2);
//   - a session remembers a browser for thirty days from its last visit;
//   - app passwords let client programs in, one for each program, where mail,
//     chat and files call [Accounts.CheckAppPassword] or, for SCRAM, [Accounts.Salt]
//     and [Accounts.CheckProof]. They are generated, with 120 bits, shown once, and
//     stored as SCRAM-SHA-256 keys (RFC 5802, RFC 7677), so that SASL PLAIN and
//     SCRAM both work and a stolen database gives none of them away. The keys never
//     leave the package.
//
// All app passwords of an account share a salt, as a SCRAM client names its
// account before the server must send the salt, and not which of the passwords
// it has. The salt follows from the name and a secret of the database, also for
// names that nobody has: neither answers nor their timing tell which accounts
// exist.
//
// Failed attempts are counted by account and by source, in memory; too many
// give errors of kind Quota. Tokens are stored hashed, compared in constant
// time, and never logged.
//
// An app password that is removed ends the sessions of its account
// ([Accounts.Revoked]); programs that still may come in sign in again.
//
// Everything durable is in the store, tables account_*. Mutexes guard only the
// links, the counters and who awaits a removal, in memory.
package account
