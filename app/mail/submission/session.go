package submission

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	gosasl "github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/time/rate"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/proto/sasl"
)

// A session is a connection, until it changes to TLS. Its methods are those that the library calls;
// Reset and Logout may be called while a message comes.
type session struct {
	server *Server
	smtp   *smtp.Conn
	conn   *conn
	source string
	ctx    context.Context
	cancel context.CancelFunc
	pace   *rate.Limiter

	mu      sync.Mutex
	account string
	mail    delivery.Submission
}

var _ smtp.AuthSession = (*session)(nil)

func (s *Server) newSession(ctx context.Context, c *smtp.Conn) (*session, error) {
	var inner net.Conn = c.Conn()
	for {
		if own, ok := inner.(*conn); ok {
			ctx, cancel := context.WithCancel(ctx)
			return &session{server: s, smtp: c, conn: own, source: sourceOf(own), ctx: ctx, cancel: cancel, pace: rate.NewLimiter(messageRate, messageBurst)}, nil
		}
		wrapped, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, errors.New("connection is none of this server")
		}
		inner = wrapped.NetConn()
	}
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

// AuthMechanisms returns those that are safe on the connection.
func (s *session) AuthMechanisms() []string {
	if !s.private() {
		return nil
	}
	return sasl.Mechanisms()
}

// private reports whether nobody can listen.
func (s *session) private() bool {
	_, secure := s.smtp.TLSConnectionState()
	return secure || s.server.cfg.Trusted(s.conn)
}

// Auth begins to sign a client in (RFC 4954 4).
func (s *session) Auth(mechanism string) (gosasl.Server, error) {
	if !s.private() {
		return nil, &smtp.SMTPError{Code: 538, EnhancedCode: smtp.EnhancedCode{5, 7, 11}, Message: "Begin with STARTTLS"}
	}
	server, err := sasl.New(s.ctx, mechanism, sasl.Config{Accounts: s.server.cfg.Accounts, Source: s.source, Success: s.signedIn})
	if err != nil {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return exchange{server, s}, nil
}

// An exchange has errors as SMTP has them.
type exchange struct {
	*sasl.Server
	session *session
}

// Next answers the client (RFC 4954 6 has the codes).
func (e exchange) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := e.Server.Next(response)
	known := new(smtp.SMTPError)
	switch {
	case err == nil, errors.As(err, &known):
		return challenge, done, err
	case errors.Is(err, sasl.ErrMalformed):
		err = &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "That is not what the mechanism says"}
	case errors.Is(err, kith.Denied), errors.Is(err, sasl.ErrIdentity):
		err = &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Name or app password is wrong"}
	case errors.Is(err, kith.Quota):
		err = &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many wrong attempts; try again later"}
	default:
		err = e.session.fault("sign in", err)
	}
	return nil, false, err
}

// signedIn notes who it is. The session ends when an app password of the account is removed.
func (s *session) signedIn(account string) error {
	if !s.conn.signIn(account) {
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many connections of this account"}
	}
	s.mu.Lock()
	s.account = account
	s.mu.Unlock()
	revoked := s.server.cfg.Accounts.Revoked(account)
	go func() {
		select {
		case <-revoked:
			s.conn.Close()
		case <-s.ctx.Done():
		}
	}()
	return nil
}

// Mail begins a message.
func (s *session) Mail(from string, options *smtp.MailOptions) error {
	s.mu.Lock()
	account := s.account
	s.mu.Unlock()
	if account == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Sign in first"}
	}
	if err := s.pace.Wait(s.ctx); err != nil {
		return s.fault("wait", err)
	}
	if err := s.server.cfg.Delivery.CheckSender(s.ctx, account, from); err != nil {
		return s.answer("check a sender", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = delivery.Submission{Account: account, Sender: from, Return: string(options.Return), ID: options.EnvelopeID}
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, options *smtp.RcptOptions) error {
	if err := s.server.cfg.Delivery.CheckRecipient(s.ctx, to); err != nil {
		return s.answer("check a recipient", err)
	}
	r := delivery.Recipient{Address: to}
	for _, notify := range options.Notify {
		r.Notify = append(r.Notify, string(notify))
	}
	if options.OriginalRecipient != "" {
		r.Original = string(options.OriginalRecipientType) + ";" + options.OriginalRecipient
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail.Recipients = append(s.mail.Recipients, r)
	return nil
}

// Data takes the message. When it returns nil the message is on disk.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	mail := s.mail
	s.mu.Unlock()
	mail.Client, mail.Protocol, mail.Message = s.client(), "ESMTPA", &whole{r, s.conn}
	if _, secure := s.smtp.TLSConnectionState(); secure {
		mail.Protocol = "ESMTPSA"
	}
	s.smtp.Conn().SetReadDeadline(time.Now().Add(dataTime))
	if err := s.server.cfg.Delivery.Submit(s.ctx, mail); err != nil {
		return s.answer("take a message", err)
	}
	s.server.messages.Add(1)
	return nil
}

// whole is a message that fails where the connection ends before it: the library takes a chunk (RFC 3030) that is cut
// off for a message.
type whole struct {
	r    io.Reader
	conn *conn
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err == io.EOF && w.conn.ended() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// client is what the Received line tells of where the message comes from (RFC 5321 4.4).
func (s *session) client() string {
	name := s.smtp.Hostname()
	if strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-.:[]", c)
	}) || len(name) > 255 {
		name = "unknown"
	}
	if ip := net.ParseIP(s.source); ip != nil && ip.To4() == nil {
		return name + " ([IPv6:" + s.source + "])"
	} else if ip != nil {
		return name + " ([" + s.source + "])"
	}
	return name
}

// Reset forgets a message that has begun.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = delivery.Submission{}
}

// Logout ends the session.
func (s *session) Logout() error {
	s.cancel()
	return nil
}

// answer turns an error into what the client is told.
func (s *session) answer(doing string, err error) error {
	known, why := new(smtp.SMTPError), new(address.Refusal)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &why):
		return &smtp.SMTPError{Code: code(why.Status), EnhancedCode: enhanced(why.Status), Message: kith.Sentence(why)}
	case errors.Is(err, smtp.ErrTooLongLine):
		return &smtp.SMTPError{Code: 500, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "A line is too long"}
	case errors.Is(err, kith.Quota):
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "The disk of this computer is full"}
	}
	return s.fault(doing, err)
}

// fault is of this host, or of a connection that is gone.
func (s *session) fault(doing string, err error) error {
	timeout := net.Error(nil)
	if s.ctx.Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, smtp.ErrDataReset) && !errors.As(err, &timeout) {
		s.server.cfg.Log.Error("mail was not taken", "doing", doing, "err", err)
	}
	return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "This did not work; try again later"}
}

// code is the reply that goes with a status (RFC 3463, RFC 5321 4.2.3).
func code(status string) int {
	switch {
	case status == "4.3.1":
		return 452
	case status == "5.3.4", status == "5.2.2":
		return 552
	case status == "5.1.3":
		return 553
	case status == "5.5.4":
		return 501
	case strings.HasPrefix(status, "4"):
		return 451
	}
	return 550
}

func enhanced(status string) (code smtp.EnhancedCode) {
	for i, part := range strings.SplitN(status, ".", 3) {
		for _, digit := range part {
			code[i] = 10*code[i] + int(digit-'0')
		}
	}
	return code
}
