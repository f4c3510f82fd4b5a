// Package sasl is the server's half of the sign-in conversations that mail, news and
// chat share: SASL (RFC 4422) with the mechanisms SCRAM-SHA-256 (RFC 5802, RFC 7677)
// and PLAIN (RFC 4616). [New] makes a [Server] for one conversation; the protocol around
// it carries the messages, in base64 or whatever it uses.
//
// A Server is what the packages go-smtp and go-imap call a sasl.Server. Whether PLAIN may
// be offered before TLS is the caller's decision, and so is the code that an error
// becomes: errors of [Accounts] come back as they are, wrapped; what is wrong with a
// message is [ErrMalformed].
//
// SCRAM has no channel binding here (no -PLUS): a client that believes the server to
// have it (gs2 flag "y") signs in, one that insists on it is refused. The server's
// final message is a challenge that the client answers with nothing (RFC 4422 3.6), as
// the protocols of mail have no room for it in their last answer.
//
// It is own code, as mellium.im/sasl, the library there is, wants each account to have
// one SCRAM password and the server to keep what a client could sign in with. Here
// an account has several app passwords, a proof is good when it is for one of them, and
// what the server keeps (RFC 5802 9: StoredKey and ServerKey) never reaches
// this package: Accounts check the proof. Nor can there be a key in an error's text.
//
// Messages have at most 4 KiB; a conversation has four at most.
package sasl
