package kith

import "context"

// Accounts are the people of this host, as applications see them that client
// programs sign in to: with app passwords, each for one program.
//
// A user is named by the account or by its address, "ann" or
// "ann@maple.home.kith.alt", with any name that this host has or had, in any case
// of letters. Who is no account looks like one whose passwords are all wrong, also
// to a clock. Source is where an attempt comes from, such as an IP address without
// the port: attempts that fail are limited by account and by source.
//
// Errors are of kind Denied, whatever is wrong, and Quota after too many attempts; any
// other is a failure of this host. They name no secret. Accounts are safe for
// concurrent use.
type Accounts interface {
	// Names returns all accounts, the first one added first. It may be called within a
	// transaction.
	Names(ctx context.Context) ([]string, error)

	// CheckAppPassword returns the account of the user whose app password secret
	// is. Upper case, spaces and missing hyphens are forgiven.
	CheckAppPassword(ctx context.Context, user, secret, source string) (account string, err error)

	// Salt returns what a SCRAM-SHA-256 server tells a client that names a user
	// (RFC 5802 5.1).
	Salt(user string) (salt []byte, iterations int)

	// CheckProof returns the account of the user who proved by a SCRAM-SHA-256
	// conversation (RFC 5802 3: its AuthMessage and ClientProof) to know one of the
	// account's app passwords, and the ServerSignature that answers the proof.
	CheckProof(ctx context.Context, user, message string, proof []byte, source string) (account string, signature []byte, err error)

	// Revoked returns a channel that is closed when an app password of an account is
	// removed. The account's sessions end then, as one of them may be of who has the
	// lost phone; programs that still may come in sign in again.
	Revoked(account string) <-chan struct{}
}
