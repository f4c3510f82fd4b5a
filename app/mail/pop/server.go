package pop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/proto/pop3"
	"kith.alt/kith/proto/sasl"
)

const (
	maxConnections = 1024
	handshake      = 20 * time.Second
	batch          = 1000 // messages that are listed at once
)

// Config is what a [Server] needs.
type Config struct {
	Mailboxes *mailbox.Store
	Accounts  kith.Accounts
	TLS       func() *tls.Config
	Trusted   func(net.Conn) bool // nobody can listen: passwords are taken without TLS
	Log       *slog.Logger
	Metrics   *kith.Metrics
}

// A Server speaks with mail programs. It is safe for concurrent use.
type Server struct {
	cfg   Config
	slots chan struct{}

	mu     sync.Mutex
	opened map[string]bool // accounts whose maildrop is in use
}

// New returns a server that opens nothing.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, slots: make(chan struct{}, maxConnections), opened: make(map[string]bool)}
	cfg.Metrics.Gauge("kith_mail_pop3_connections", "Connections of POP3 that are open.", func() float64 { return float64(len(s.slots)) })
	return s
}

// Serve answers the connections of a listener, which it closes, until ctx ends. Where secure is set
// they begin with TLS; otherwise they may change to it.
func (s *Server) Serve(ctx context.Context, listener net.Listener, secure bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		select {
		case s.slots <- struct{}{}:
			conns.Go(func() {
				defer func() { <-s.slots }()
				s.answer(ctx, conn, secure)
			})
		default:
			if !secure {
				conn.SetWriteDeadline(time.Now().Add(time.Second))
				io.WriteString(conn, "-ERR [SYS/TEMP] too many connections\r\n")
			}
			conn.Close()
		}
	}
}

func (s *Server) answer(ctx context.Context, conn net.Conn, secure bool) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cfg := pop3.Config{
		Backend: backend{s, sourceOf(conn), cancel}, TLS: s.cfg.TLS(), Secure: secure, Plain: s.cfg.Trusted(conn),
		Failed: func(err error) { s.cfg.Log.Error("a command of POP3 failed", "err", err) },
	}
	if secure {
		secured := tls.Server(conn, cfg.TLS)
		limit, cancel := context.WithTimeout(ctx, handshake)
		defer cancel()
		if err := secured.HandshakeContext(limit); err != nil {
			return
		}
		conn = secured
	}
	pop3.Serve(ctx, conn, cfg)
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

// A backend is what one connection sees of the mailboxes.
type backend struct {
	server *Server
	source string
	cancel func() // ends the connection
}

func (b backend) Mechanisms() []string { return sasl.Mechanisms() }

func (b backend) Login(ctx context.Context, user, password string) (string, error) {
	account, err := b.server.cfg.Accounts.CheckAppPassword(ctx, user, password, b.source)
	return account, translated(err)
}

func (b backend) Authenticate(ctx context.Context, mechanism string, success func(string) error) (pop3.Conversation, error) {
	inner, err := sasl.New(ctx, mechanism, sasl.Config{Accounts: b.server.cfg.Accounts, Source: b.source, Success: success})
	if err != nil {
		return nil, err
	}
	return conversation{inner}, nil
}

// A conversation is one whose errors are POP3's.
type conversation struct{ inner *sasl.Server }

func (c conversation) Next(message []byte) ([]byte, bool, error) {
	challenge, done, err := c.inner.Next(message)
	return challenge, done, translated(err)
}

func translated(err error) error {
	switch {
	case errors.Is(err, kith.Denied), errors.Is(err, sasl.ErrMalformed), errors.Is(err, sasl.ErrIdentity):
		return pop3.ErrDenied
	case errors.Is(err, kith.Quota):
		return pop3.ErrLimited
	}
	return err
}

// Open locks INBOX for POP3. The connection ends when an app password of the account is removed.
func (b backend) Open(ctx context.Context, account string) (pop3.Maildrop, error) {
	s := b.server
	s.mu.Lock()
	taken := s.opened[account]
	s.opened[account] = true
	s.mu.Unlock()
	if taken {
		return nil, pop3.ErrInUse
	}
	drop := &maildrop{server: s, account: account}
	if err := drop.load(ctx); err != nil {
		drop.Close()
		return nil, err
	}
	revoked := s.cfg.Accounts.Revoked(account)
	go func() {
		select {
		case <-revoked:
			b.cancel()
		case <-ctx.Done():
		}
	}()
	return drop, nil
}

// A maildrop is INBOX as it was when it was opened.
type maildrop struct {
	server  *Server
	account string
	folder  mailbox.Folder
	uids    []imap.UID
	list    []pop3.Message
}

func (m *maildrop) load(ctx context.Context) (err error) {
	mail := m.server.cfg.Mailboxes
	if err := mail.Prepare(ctx, m.account); err != nil {
		return err
	}
	if m.folder, err = mail.Folder(ctx, m.account, mailbox.Inbox); err != nil {
		return err
	}
	for next := imap.UID(1); ; {
		messages, err := mail.Messages(ctx, m.folder.ID, mailbox.Range{From: next, To: 1<<32 - 1}, batch, false)
		if err != nil {
			return err
		}
		for _, message := range messages {
			m.uids = append(m.uids, message.UID)
			m.list = append(m.list, pop3.Message{ID: fmt.Sprintf("%d.%d", m.folder.UIDValidity, message.UID), Size: message.Size})
		}
		if len(messages) < batch {
			return nil
		}
		next = messages[batch-1].UID + 1
	}
}

func (m *maildrop) Messages() []pop3.Message { return m.list }

func (m *maildrop) Read(ctx context.Context, index int) (io.ReadCloser, error) {
	uid := m.uids[index]
	mail := m.server.cfg.Mailboxes
	messages, err := mail.Messages(ctx, m.folder.ID, mailbox.Range{From: uid, To: uid}, 1, true)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("the message was expunged: %w", kith.NotFound)
	}
	return mail.Open(ctx, messages[0].Blob)
}

func (m *maildrop) Delete(ctx context.Context, indexes []int) error {
	var ranges []mailbox.Range
	for n, i := range indexes {
		if n > 0 && i == indexes[n-1]+1 { // nothing is between the two
			ranges[len(ranges)-1].To = m.uids[i]
			continue
		}
		ranges = append(ranges, mailbox.Range{From: m.uids[i], To: m.uids[i]})
	}
	_, err := m.server.cfg.Mailboxes.Expunge(ctx, m.folder.ID, ranges, true)
	return err
}

func (m *maildrop) Close() {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	delete(m.server.opened, m.account)
}
