package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"golang.org/x/time/rate"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
)

// Limits of connections. Zero is the default.
type Limits struct {
	Connections int // in all; 8,192
	PerAccount  int // 64
}

const (
	commandRate  = 1000 // of a connection, in a second
	commandBurst = 2000
	maxFailures  = 5 // attempts to sign in on a connection
	handshake    = 20 * time.Second

	signInPatience = time.Minute // for a client to sign in
)

// Config is what a [Server] needs.
type Config struct {
	Mailboxes *mailbox.Store
	Accounts  kith.Accounts
	TLS       func() *tls.Config
	Trusted   func(net.Conn) bool // nobody can listen: passwords are taken without TLS
	Log       *slog.Logger
	Metrics   *kith.Metrics
	Limits    Limits
}

// A Server speaks with mail programs. It is safe for concurrent use.
type Server struct {
	cfg      Config
	commands *kith.Counter

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
	s := &Server{cfg: cfg, of: make(map[string]int)}
	s.commands = cfg.Metrics.Counter("kith_mail_imap_commands_total", "Commands of IMAP that were carried out.")
	cfg.Metrics.Gauge("kith_mail_imap_connections", "Connections of IMAP that are open.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.total)
	})
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

	// The library has one rule for passwords in a server.
	config := s.cfg.TLS()
	doors := map[bool]*door{true: newDoor(ctx), false: newDoor(ctx)}
	for trusted, door := range doors {
		inner := imapserver.New(&imapserver.Options{
			NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
				return s.newSession(ctx, c, conns.Done), nil, nil
			},
			Caps: capabilities(), Logger: logger{s.cfg.Log}, TLSConfig: config, InsecureAuth: trusted,
		})
		conns.Go(func() { inner.Serve(door) })
	}
	for {
		raw, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		if !s.enter() {
			if !secure {
				raw.SetWriteDeadline(time.Now().Add(time.Second))
				raw.Write([]byte("* BYE [UNAVAILABLE] Too many connections\r\n"))
			}
			raw.Close()
			continue
		}
		trusted := s.cfg.Trusted(raw)
		c := &conn{Conn: raw}
		conns.Add(1)
		if !secure {
			if !doors[trusted].enter(c) {
				s.leave("")
				conns.Done()
			}
			continue
		}
		go func() { // no strangers at the door: they would hold up the library
			secured := tls.Server(c, config)
			limit, cancel := context.WithTimeout(ctx, handshake)
			defer cancel()
			if err := secured.HandshakeContext(limit); err != nil || !doors[trusted].enter(secured) {
				c.Close()
				s.leave("")
				conns.Done()
			}
		}()
	}
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

// admit counts a connection of an account.
func (s *Server) admit(account string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[account] >= s.cfg.Limits.PerAccount {
		return fmt.Errorf("there are %d connections of the account already: %w", s.of[account], kith.Quota)
	}
	s.of[account]++
	return nil
}

// A door is a listener whose connections somebody else accepts.
type door struct {
	ctx   context.Context
	conns chan net.Conn
}

func newDoor(ctx context.Context) *door { return &door{ctx, make(chan net.Conn)} }

func (d *door) enter(c net.Conn) bool {
	select {
	case d.conns <- c:
		return true
	case <-d.ctx.Done():
		return false
	}
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error   { return nil }
func (d *door) Addr() net.Addr { return kith.Address{} }

func capabilities() imap.CapSet {
	set := imap.CapSet{}
	for _, c := range []imap.Cap{
		imap.CapIMAP4rev1, imap.CapIMAP4rev2, imap.CapNamespace, imap.CapUIDPlus, imap.CapESearch, imap.CapSearchRes, imap.CapListExtended,
		imap.CapListStatus, imap.CapMove, imap.CapStatusSize, imap.CapBinary, imap.CapChildren, imap.CapSpecialUse,
	} {
		set[c] = struct{}{}
	}
	return set
}

// A logger takes what the library has to say: about clients, mostly.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok && (errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)) {
			return
		}
	}
	l.log.Debug("IMAP: " + fmt.Sprintf(format, args...))
}

func newLimiter() *rate.Limiter { return rate.NewLimiter(commandRate, commandBurst) }
