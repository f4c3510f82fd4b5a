package sasl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The mechanisms, by their registered names.
const (
	ScramSHA256 = "SCRAM-SHA-256"
	Plain       = "PLAIN"
)

// Mechanisms returns the names of all mechanisms, the best first.
func Mechanisms() []string { return []string{ScramSHA256, Plain} }

// maxMessage is how many bytes a client may send at once.
const maxMessage = 4 << 10

var (
	// ErrMechanism means that a mechanism is none of [Mechanisms].
	ErrMechanism = errors.New("there is no such mechanism")
	// ErrMalformed means that a client's message is not as its mechanism has it.
	ErrMalformed = errors.New("message is malformed")
	// ErrIdentity means that a user wants to act as another one.
	ErrIdentity = errors.New("users act for themselves only")
)

// Accounts check what clients prove; kith.Accounts is one. A user that does not exist
// looks like one whose secrets are all wrong. Source is where the attempt comes
// from, for limits.
type Accounts interface {
	// CheckAppPassword returns the account of the user whose secret it is.
	CheckAppPassword(ctx context.Context, user, secret, source string) (account string, err error)

	// Salt returns what the user's password is salted with, and how often it is
	// hashed.
	Salt(user string) (salt []byte, iterations int)

	// CheckProof returns the account of a user whose ClientProof for the AuthMessage
	// is right, and the ServerSignature (RFC 5802 3).
	CheckProof(ctx context.Context, user, message string, proof []byte, source string) (account string, signature []byte, err error)
}

// Config is what a [Server] needs.
type Config struct {
	Accounts Accounts
	Source   string // of the client: its IP address without the port, or what names it

	// Success is called once, when the conversation has ended well. Its error is
	// the conversation's.
	Success func(account string) error
}

// A Server is one conversation. It is not safe for concurrent use.
type Server struct {
	cfg  Config
	ctx  context.Context
	step func(message string) (answer string, done bool, err error) // what is to do with the next message

	silent bool   // the client was asked to begin
	nonce  string // the server's, of SCRAM

	header, user, identity string // of SCRAM's first message
	said                   string // so far: the first two parts of AuthMessage
	together               string // the client's nonce and the server's
	account                string // that is proved
}

// New begins a conversation by a mechanism, in any case of letters. The context is that
// of the connection. It fails with [ErrMechanism].
func New(ctx context.Context, mechanism string, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, ctx: ctx}
	switch strings.ToUpper(mechanism) {
	case Plain:
		s.step = s.plain
	case ScramSHA256:
		s.nonce = newNonce()
		s.step = s.clientFirst
	default:
		return nil, fmt.Errorf("%.40q: %w", mechanism, ErrMechanism)
	}
	return s, nil
}

// Next takes the client's message and returns the next challenge, or that the client
// has signed in. The first message is nil where a client sent none with its
// command: it is then asked for one by an empty challenge. After an error, and
// after the end, every message is malformed.
func (s *Server) Next(message []byte) (challenge []byte, done bool, err error) {
	if message == nil && !s.silent {
		s.silent = true
		return []byte{}, false, nil
	}
	s.silent = true
	step := s.step
	s.step = nil
	switch {
	case step == nil:
		return nil, false, fmt.Errorf("the conversation is over: %w", ErrMalformed)
	case len(message) > maxMessage:
		return nil, false, fmt.Errorf("it has %d bytes, at most %d: %w", len(message), maxMessage, ErrMalformed)
	case !utf8.Valid(message):
		return nil, false, fmt.Errorf("it is not UTF-8: %w", ErrMalformed)
	}
	answer, done, err := step(string(message))
	if err != nil {
		return nil, false, err
	}
	if !done {
		return []byte(answer), false, nil
	}
	if s.cfg.Success != nil {
		if err := s.cfg.Success(s.account); err != nil {
			return nil, false, err
		}
	}
	return nil, true, nil
}

// plain reads [authzid] NUL authcid NUL passwd (RFC 4616 2).
func (s *Server) plain(message string) (string, bool, error) {
	parts := strings.Split(message, "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return "", false, fmt.Errorf("%s: %w", Plain, ErrMalformed)
	}
	account, err := s.cfg.Accounts.CheckAppPassword(s.ctx, parts[1], parts[2], s.cfg.Source)
	if err != nil {
		return "", false, fmt.Errorf("sign in: %w", err)
	}
	return "", true, s.prove(account, parts[1], parts[0])
}

// prove notes whose account it is, where the identity to act as is the user's.
func (s *Server) prove(account, user, identity string) error {
	if identity != "" && !strings.EqualFold(identity, user) && !strings.EqualFold(identity, account) {
		return ErrIdentity
	}
	s.account = account
	return nil
}
