package imap

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	gosasl "github.com/emersion/go-sasl"
	"golang.org/x/time/rate"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/proto/sasl"
)

// A session is a connection. Its methods are those that the library calls.
type session struct {
	server *Server
	conn   *imapserver.Conn
	ctx    context.Context
	cancel context.CancelFunc
	ended  func()
	source string
	pace   *rate.Limiter
	late   *time.Timer // ends the connection of who does not sign in
	over   func() bool // ends the watch on the server's context

	busy     sync.Mutex
	failures int
	account  string
	view     *mailbox.View // nil: no folder is selected
	gone     bool          // the selected folder was deleted, by this client
	readOnly bool
	saved    []mailbox.Range // what $ means (RFC 5182)
}

var (
	_ imapserver.SessionIMAP4rev2   = (*session)(nil)
	_ imapserver.SessionSASL        = (*session)(nil)
	_ imapserver.SessionAppendLimit = (*session)(nil)
)

func (s *Server) newSession(ctx context.Context, conn *imapserver.Conn, ended func()) *session {
	over := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(signInPatience, func() { conn.NetConn().Close() })
	return &session{server: s, conn: conn, ctx: ctx, cancel: cancel, ended: ended, source: sourceOf(conn.NetConn()), pace: newLimiter(), late: late, over: over}
}

// sourceOf names where a connection comes from, for limits.
func sourceOf(conn net.Conn) string {
	if peer, ok := kith.PeerOf(conn); ok {
		return peer.ID.String()
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String()
	}
	return host
}

// begin waits for a command's turn; the caller ends it.
func (s *session) begin() (end func(), err error) {
	s.server.commands.Add(1)
	if err := s.pace.Wait(s.ctx); err != nil {
		return nil, err
	}
	s.busy.Lock()
	return s.busy.Unlock, nil
}

func (s *session) mail() *mailbox.Store { return s.server.cfg.Mailboxes }

// Close ends the session.
func (s *session) Close() error {
	s.cancel()
	s.late.Stop()
	s.over()
	s.busy.Lock()
	defer s.busy.Unlock()
	s.unselect()
	s.server.leave(s.account)
	s.ended()
	return nil
}

// signedIn has the session be an account's. It ends when an app password of the account is removed.
func (s *session) signedIn(account string) error {
	if err := s.mail().Prepare(s.ctx, account); err != nil {
		return err
	}
	if err := s.server.admit(account); err != nil {
		return err
	}
	s.account = account
	s.late.Stop()
	revoked := s.server.cfg.Accounts.Revoked(account)
	go func() {
		select {
		case <-revoked:
			s.conn.NetConn().Close()
		case <-s.ctx.Done():
		}
	}()
	return nil
}

// refuse counts an attempt to sign in that failed, and answers it.
func (s *session) refuse(err error) error {
	if s.failures++; s.failures >= maxFailures {
		s.conn.NetConn().Close()
	}
	switch {
	case errors.Is(err, sasl.ErrMalformed):
		return &imap.Error{Type: imap.StatusResponseTypeBad, Text: "The message is malformed"}
	case errors.Is(err, sasl.ErrIdentity):
		return no(imap.ResponseCodeAuthorizationFailed, "Users act for themselves only")
	case errors.Is(err, kith.Denied):
		return no(imap.ResponseCodeAuthenticationFailed, "Name or app password is wrong")
	case errors.Is(err, kith.Quota):
		return no(imap.ResponseCodeUnavailable, "Too many attempts or connections; try again later")
	}
	return s.failed(err)
}

func (s *session) Login(user, password string) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	account, err := s.server.cfg.Accounts.CheckAppPassword(s.ctx, user, password, s.source)
	if err == nil {
		err = s.signedIn(account)
	}
	if err != nil {
		return s.refuse(err)
	}
	return nil
}

func (s *session) AuthenticateMechanisms() []string { return sasl.Mechanisms() }

func (s *session) Authenticate(mechanism string) (gosasl.Server, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	conversation, err := sasl.New(s.ctx, mechanism, sasl.Config{Accounts: s.server.cfg.Accounts, Source: s.source, Success: s.signedIn})
	if err != nil {
		return nil, no("", "There is no such mechanism")
	}
	return signIn{s, conversation}, nil
}

// A signIn is a conversation whose errors are IMAP's.
type signIn struct {
	session *session
	inner   *sasl.Server
}

func (c signIn) Next(response []byte) ([]byte, bool, error) {
	c.session.busy.Lock()
	defer c.session.busy.Unlock()
	challenge, done, err := c.inner.Next(response)
	if err != nil {
		return nil, false, c.session.refuse(err)
	}
	if len(challenge) == 0 {
		challenge = nil // the library would write "="
	}
	return challenge, done, nil
}

func (s *session) AppendLimit() uint32 { return mailbox.MaxMessage }

// Append takes a message.
func (s *session) Append(name string, literal imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if literal.Size() == 0 {
		return nil, no(imap.ResponseCodeCannot, "The message is empty")
	}
	ctx, cancel := context.WithCancel(s.ctx) // the blob's, until it is kept
	defer cancel()
	blob, err := s.mail().Write(ctx, literal)
	if err != nil {
		return nil, s.failed(err)
	}
	if blob.Size != literal.Size() {
		return nil, net.ErrClosed
	}
	placed, err := s.mail().Append(ctx, s.account, name, mailbox.Delivery{Blob: blob, Flags: options.Flags, Received: options.Time})
	if err != nil {
		return nil, s.failedInto(err)
	}
	return &imap.AppendData{UID: placed.UID, UIDValidity: placed.Folder.UIDValidity}, nil
}

// Poll tells what has changed in the selected folder.
func (s *session) Poll(w *imapserver.UpdateWriter, expunge bool) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	return s.update(w, expunge)
}

// update writes what is new.
func (s *session) update(w *imapserver.UpdateWriter, expunge bool) error {
	if s.view == nil || s.gone {
		return nil
	}
	changes, err := s.view.Sync(s.ctx, expunge)
	if err != nil {
		if errors.Is(err, kith.NotFound) {
			s.conn.Bye("The selected folder was deleted")
		}
		return err
	}
	for _, f := range changes.Flags {
		if err := w.WriteMessageFlags(uint32(f.Number), f.UID, f.Flags); err != nil {
			return err
		}
	}
	for _, number := range changes.Expunged {
		if err := w.WriteExpunge(uint32(number)); err != nil {
			return err
		}
	}
	if changes.Count >= 0 {
		return w.WriteNumMessages(uint32(changes.Count))
	}
	return nil
}

// Idle tells what changes until stop is closed (RFC 2177).
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	for {
		var changed <-chan struct{}
		if s.view != nil {
			changed = s.view.Changed()
			if err := s.update(w, true); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stop:
			return nil
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// no is an answer that a command cannot be carried out.
func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// failed turns an error into an answer.
func (s *session) failed(err error) error {
	var answer *imap.Error
	switch {
	case err == nil || errors.As(err, &answer):
		return err
	case errors.Is(err, kith.NotFound):
		return no(imap.ResponseCodeNonExistent, kith.Sentence(err))
	case errors.Is(err, kith.Exists):
		return no(imap.ResponseCodeAlreadyExists, kith.Sentence(err))
	case errors.Is(err, kith.Quota) && ofDisk(err):
		return no(imap.ResponseCodeOverQuota, "The disk of this computer is full")
	case errors.Is(err, kith.Quota):
		return no(imap.ResponseCodeOverQuota, kith.Sentence(err))
	case errors.Is(err, kith.Invalid):
		return no(imap.ResponseCodeCannot, kith.Sentence(err))
	}
	if s.ctx.Err() == nil {
		s.server.cfg.Log.Error("a command of IMAP failed", "account", s.account, "err", err)
	}
	return no(imap.ResponseCodeUnavailable, "This host has a problem; try again later")
}

// ofDisk reports whether an error is a file's or the database's, whose text is not for clients.
func ofDisk(err error) bool {
	var file *fs.PathError
	var database interface{ Code() int }
	return errors.As(err, &file) || errors.As(err, &database)
}

// failedInto is failed for a command that puts messages into a folder, which a client makes
// when it is told that there is none.
func (s *session) failedInto(err error) error {
	if errors.Is(err, kith.NotFound) {
		return no(imap.ResponseCodeTryCreate, kith.Sentence(err))
	}
	return s.failed(err)
}

// isINBOX reports whether a pattern names INBOX, which it may in any case of letters.
func isINBOX(pattern string) bool { return strings.EqualFold(pattern, mailbox.Inbox) }
