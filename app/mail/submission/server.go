package submission

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/delivery"
)

// Limits of connections. Zero is the default.
type Limits struct {
	Connections int           // in all; 8,192
	PerAccount  int           // 64
	SignIn      time.Duration // until a client has signed in; a minute
}

const (
	maxLine      = 12288            // bytes of a line (RFC 4954 4)
	idle         = 5 * time.Minute  // between commands (RFC 5321 4.5.3.2.7)
	dataTime     = 10 * time.Minute // for a message to come
	writing      = time.Minute      // for an answer to leave
	messageRate  = 200              // of a connection, in a second
	messageBurst = 1000
	stopping     = 10 * time.Second
)

// Config is what a [Server] needs.
type Config struct {
	Delivery *delivery.Delivery
	Accounts kith.Accounts
	Name     func() kith.Name // of this host
	TLS      func() *tls.Config
	Trusted  func(net.Conn) bool // nobody can listen: passwords are taken without TLS
	Log      *slog.Logger
	Metrics  *kith.Metrics
	Limits   Limits
}

// A Server takes mail. It is safe for concurrent use.
type Server struct {
	cfg      Config
	messages *kith.Counter

	mu    sync.Mutex
	total int
	of    map[string]int // connections by account
}

// New returns a server that opens nothing.
func New(cfg Config) *Server {
	if cfg.Limits.Connections == 0 {
		cfg.Limits.Connections = 8192
	}
	if cfg.Limits.PerAccount == 0 {
		cfg.Limits.PerAccount = 64
	}
	if cfg.Limits.SignIn == 0 {
		cfg.Limits.SignIn = time.Minute
	}
	s := &Server{cfg: cfg, of: make(map[string]int)}
	s.messages = cfg.Metrics.Counter("kith_mail_submitted_total", "Messages that were taken from client programs.")
	cfg.Metrics.Gauge("kith_mail_submission_connections", "Connections of submission that are open.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.total)
	})
	return s
}

// Serve answers the connections of a listener, which it closes, until ctx ends. Where secure is set
// they begin with TLS; otherwise they may change to it.
func (s *Server) Serve(ctx context.Context, listener net.Listener, secure bool) error {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	d := &door{Listener: listener, server: s, ctx: ctx}
	config := s.cfg.TLS()
	if secure {
		d.tls = config
	}
	inner := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return s.newSession(ctx, c) }))
	inner.Domain = s.cfg.Name().String()
	inner.TLSConfig = config
	inner.AllowInsecureAuth = true // a session says whether it is
	inner.EnableDSN = true
	inner.MaxMessageBytes, inner.MaxRecipients, inner.MaxLineLength = delivery.MaxMessage, delivery.MaxRecipients, maxLine
	inner.ReadTimeout, inner.WriteTimeout = idle, writing
	inner.ErrorLog = logger{s.cfg.Log}
	err := inner.Serve(d)
	// The connections are closed when ctx has ended: what is left is to wait for them.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer cancel()
	if ctx.Err() == nil {
		listener.Close()
		inner.Close()
		return fmt.Errorf("accept: %w", err)
	}
	inner.Shutdown(limit)
	return nil
}

// enter counts a connection, if there may be another one.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.cfg.Limits.Connections {
		return false
	}
	s.total++
	return true
}

// signIn counts a connection of an account, if it may have another one.
func (s *Server) signIn(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[account] >= s.cfg.Limits.PerAccount {
		return false
	}
	s.of[account]++
	return true
}

// leave counts one less, of an account where it had signed in.
func (s *Server) leave(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if account == "" {
		return
	}
	if s.of[account]--; s.of[account] == 0 {
		delete(s.of, account)
	}
}

// A door lets connections in, as many as there may be.
type door struct {
	net.Listener
	server *Server
	ctx    context.Context
	tls    *tls.Config // nil: not from the start
}

// Accept returns the next connection.
func (d *door) Accept() (net.Conn, error) {
	for {
		raw, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !d.server.enter() {
			raw.SetWriteDeadline(time.Now().Add(time.Second))
			raw.Write([]byte("421 4.7.0 Too many connections\r\n"))
			raw.Close()
			continue
		}
		c := &conn{Conn: raw, server: d.server}
		c.mu.Lock() // until it is complete
		c.stop = context.AfterFunc(d.ctx, func() { c.Close() })
		c.timer = time.AfterFunc(d.server.cfg.Limits.SignIn, func() { c.Close() })
		c.mu.Unlock()
		if d.tls != nil {
			return tls.Server(c, d.tls), nil
		}
		return c, nil
	}
}

// A conn is closed where nobody signs in in time.
type conn struct {
	net.Conn
	server *Server

	mu      sync.Mutex
	stop    func() bool // of the watch on the server's context
	timer   *time.Timer
	account string // that has signed in
	closed  bool
	failed  error // of reading
}

// Read fails for good once it has failed: the library takes what came until a deadline for a line, and
// listens on.
func (c *conn) Read(b []byte) (n int, err error) {
	if c.ended() {
		return 0, c.failed
	}
	if n, err = c.Conn.Read(b); err != nil {
		c.mu.Lock()
		c.failed = err
		c.mu.Unlock()
	}
	return n, err
}

// ended reports whether nothing more comes.
func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed != nil
}

// Write closes the connection to who does not read: the library goes on when it fails.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.Close()
	}
	return n, err
}

// NetConn lets [kith.PeerOf] see who calls.
func (c *conn) NetConn() net.Conn { return c.Conn }

// signIn notes who it is, if there may be another connection of the account.
func (c *conn) signIn(account string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.server.signIn(account) {
		return false
	}
	c.account = account
	c.timer.Stop()
	return true
}

// Close closes the connection, and counts it once.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.timer.Stop()
		c.stop()
		c.server.leave(c.account)
	}
	return c.Conn.Close()
}

// logger passes on what the library says; clients cause most of it.
type logger struct{ log *slog.Logger }

// Printf implements smtp.Logger.
func (l logger) Printf(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Println implements smtp.Logger.
func (l logger) Println(args ...any) { l.log.Debug(fmt.Sprint(args...)) }
