package pop3

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Limits of a conversation.
const (
	maxLine     = 512      // bytes of a command (RFC 2449 4: 255)
	maxAuthLine = 12 << 10 // of a message of AUTH
	maxFailures = 5        // wrong passwords
	maxErrors   = 50       // commands that are none

	commandPatience = 10 * time.Minute // RFC 1939 3: at least
	greetPatience   = time.Minute      // until a client has signed in
	writePatience   = 30 * time.Second // for each piece of an answer
)

// Errors that a Backend gives for what RFC 2449 8 and RFC 3206 have codes for.
var (
	ErrDenied  = errors.New("name or password is wrong")        // [AUTH]
	ErrInUse   = errors.New("the maildrop is in use")           // [IN-USE]
	ErrLimited = errors.New("too many attempts or connections") // [SYS/TEMP]
)

// A Backend knows who may read what. It is safe for concurrent use. Errors other than those of this package are
// temporary ones; their text stays at home.
type Backend interface {
	// Login returns the account of who has this name and password.
	Login(ctx context.Context, user, password string) (account string, err error)

	// Mechanisms are those of AUTH.
	Mechanisms() []string

	// Authenticate begins a conversation; success gets the account at its end.
	Authenticate(ctx context.Context, mechanism string, success func(account string) error) (Conversation, error)

	// Open locks an account's maildrop.
	Open(ctx context.Context, account string) (Maildrop, error)
}

// A Conversation is what packages of SASL call a server: Next takes the client's message, nil where it
// sent none with its command.
type Conversation interface {
	Next(message []byte) (challenge []byte, done bool, err error)
}

// A Maildrop is an account's messages at the time when it was opened, for one connection.
type Maildrop interface {
	Messages() []Message
	Read(ctx context.Context, index int) (io.ReadCloser, error)
	Delete(ctx context.Context, indexes []int) error
	Close()
}

// A Message is one in a maildrop.
type Message struct {
	ID   string // RFC 1939 7: UIDL; never another message's
	Size int64
}

// Config is what a connection needs.
type Config struct {
	Backend Backend
	TLS     *tls.Config // for STLS; nil: there is none, or TLS is on already
	Secure  bool        // TLS is on
	Plain   bool        // passwords are taken without TLS
	Failed  func(err error)
}

// A session is one conversation.
type session struct {
	cfg   Config
	ctx   context.Context
	begun time.Time
	conn  net.Conn
	in    *bufio.Reader
	out   *bufio.Writer

	user     string
	drop     Maildrop // nil before signing in
	messages []Message
	deleted  map[int]bool
	failures int
	errors   int
	over     bool
}

// Serve speaks with a client until one of both ends it, and closes the connection.
func Serve(ctx context.Context, conn net.Conn, cfg Config) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{cfg: cfg, ctx: ctx, begun: time.Now(), deleted: make(map[int]bool)}
	s.use(conn)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	s.ok("ready")
	for !s.over && s.out.Flush() == nil {
		line, err := s.line(maxLine)
		if errors.Is(err, errTooLong) {
			s.err("", "line is too long")
			s.mistake()
			continue
		}
		if err != nil {
			break
		}
		s.command(line)
	}
	s.out.Flush()
	if s.drop != nil {
		s.drop.Close()
	}
}

// use goes on with a connection.
func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.in = bufio.NewReaderSize(conn, 1<<10)
	s.out = bufio.NewWriterSize(patient{conn}, 4<<10)
}

// A patient writes with a deadline for each piece.
type patient struct{ net.Conn }

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

var errTooLong = errors.New("line is too long")

// deadline is when the client must have said something.
func (s *session) deadline() time.Time {
	if s.drop == nil {
		return s.begun.Add(greetPatience)
	}
	return time.Now().Add(commandPatience)
}

// line reads a line, whose end is CR LF or LF.
func (s *session) line(limit int) (string, error) {
	if s.in.Buffered() == 0 { // the client waits
		if err := s.out.Flush(); err != nil {
			return "", err
		}
	}
	if err := s.conn.SetReadDeadline(s.deadline()); err != nil {
		return "", err
	}
	var line []byte
	long := false
	for {
		piece, err := s.in.ReadSlice('\n')
		if len(line)+len(piece) > limit {
			long = true
		} else {
			line = append(line, piece...)
		}
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull {
			return "", err
		}
	}
	if long {
		return "", errTooLong
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
}

func (s *session) ok(text string) { fmt.Fprintf(s.out, "+OK %s\r\n", text) }

func (s *session) err(code, text string) {
	if code != "" {
		text = "[" + code + "] " + text
	}
	fmt.Fprintf(s.out, "-ERR %s\r\n", text)
}

// mistake counts what is no command; too many end the conversation.
func (s *session) mistake() {
	if s.errors++; s.errors > maxErrors {
		s.over = true
	}
}

// fail answers an error of the Backend.
func (s *session) fail(err error) {
	switch {
	case errors.Is(err, ErrDenied):
		s.err("AUTH", ErrDenied.Error())
		if s.failures++; s.failures >= maxFailures {
			s.over = true
		}
	case errors.Is(err, ErrInUse):
		s.err("IN-USE", ErrInUse.Error())
	case errors.Is(err, ErrLimited):
		s.err("SYS/TEMP", ErrLimited.Error())
		if s.failures++; s.failures >= maxFailures {
			s.over = true
		}
	default:
		s.err("SYS/TEMP", "this host has a problem")
		if s.cfg.Failed != nil && s.ctx.Err() == nil {
			s.cfg.Failed(err)
		}
	}
}

// command carries out a line.
func (s *session) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "CAPA":
		s.capabilities()
		return
	case "QUIT":
		s.quit()
		return
	case "NOOP":
		if s.drop != nil {
			s.ok("")
			return
		}
	}
	if s.drop == nil {
		switch verb {
		case "USER", "PASS", "AUTH":
			if !s.cfg.Secure && !s.cfg.Plain {
				s.err("", "passwords are taken over TLS only: STLS comes first")
				return
			}
		}
		switch verb {
		case "STLS":
			s.startTLS()
		case "USER":
			s.user = rest
			s.ok("and the password?")
		case "PASS":
			s.pass(rest)
		case "AUTH":
			s.auth(rest)
		default:
			s.mistake()
			s.err("", "there is no such command before signing in")
		}
		return
	}
	switch verb {
	case "STAT":
		count, size := 0, int64(0)
		for i, m := range s.messages {
			if !s.deleted[i] {
				count, size = count+1, size+m.Size
			}
		}
		s.ok(fmt.Sprintf("%d %d", count, size))
	case "LIST":
		s.list(rest, func(i int) string { return strconv.FormatInt(s.messages[i].Size, 10) })
	case "UIDL":
		s.list(rest, func(i int) string { return s.messages[i].ID })
	case "RETR":
		if i, ok := s.message(rest); ok {
			s.retrieve(i, -1)
		}
	case "TOP":
		number, count, _ := strings.Cut(rest, " ")
		lines, err := strconv.ParseUint(strings.TrimSpace(count), 10, 31)
		if err != nil {
			s.err("", "TOP wants a message and a number of lines")
		} else if i, ok := s.message(number); ok {
			s.retrieve(i, int(lines))
		}
	case "DELE":
		if i, ok := s.message(rest); ok {
			s.deleted[i] = true
			s.ok("marked")
		}
	case "RSET":
		clear(s.deleted)
		s.ok("nothing is marked")
	default:
		s.mistake()
		s.err("", "there is no such command")
	}
}

// capabilities answers CAPA (RFC 2449 5).
func (s *session) capabilities() {
	s.ok("this is what there is")
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"}
	if s.drop == nil {
		if s.cfg.TLS != nil && !s.cfg.Secure {
			lines = append(lines, "STLS")
		}
		if s.cfg.Secure || s.cfg.Plain {
			lines = append(lines, "USER", "SASL "+strings.Join(s.cfg.Backend.Mechanisms(), " "))
		}
	}
	for _, line := range lines {
		fmt.Fprintf(s.out, "%s\r\n", line)
	}
	fmt.Fprint(s.out, ".\r\n")
}

// startTLS answers STLS (RFC 2595 4). What came behind the command in plain text is not read by
// anybody.
func (s *session) startTLS() {
	if s.cfg.TLS == nil || s.cfg.Secure {
		s.err("", "there is no TLS to begin")
		return
	}
	s.ok("begin TLS")
	if s.out.Flush() != nil || s.in.Buffered() > 0 {
		s.over = true
		return
	}
	secured := tls.Server(s.conn, s.cfg.TLS)
	if s.conn.SetDeadline(s.deadline()) != nil || secured.HandshakeContext(s.ctx) != nil {
		s.over = true
		return
	}
	s.cfg.Secure = true
	s.user = ""
	s.use(secured)
}

func (s *session) pass(password string) {
	if s.user == "" {
		s.err("", "USER comes first")
		return
	}
	user := s.user
	s.user = ""
	account, err := s.cfg.Backend.Login(s.ctx, user, password)
	if err == nil {
		err = s.open(account)
	}
	s.signedIn(err)
}

// auth answers AUTH (RFC 5034 4).
func (s *session) auth(rest string) {
	mechanism, initial, hasInitial := strings.Cut(rest, " ")
	if mechanism == "" { // an old way to ask for the mechanisms
		s.ok("")
		for _, name := range s.cfg.Backend.Mechanisms() {
			fmt.Fprintf(s.out, "%s\r\n", name)
		}
		fmt.Fprint(s.out, ".\r\n")
		return
	}
	conversation, err := s.cfg.Backend.Authenticate(s.ctx, mechanism, s.open)
	if err != nil {
		s.err("", "there is no such mechanism")
		return
	}
	var message []byte
	if hasInitial {
		if message, err = decode(initial); err != nil {
			s.err("", "the message is no base64")
			return
		}
	}
	for {
		challenge, done, err := conversation.Next(message)
		if err != nil || done {
			s.signedIn(err)
			return
		}
		fmt.Fprintf(s.out, "+ %s\r\n", base64.StdEncoding.EncodeToString(challenge))
		line, err := s.line(maxAuthLine)
		if errors.Is(err, errTooLong) {
			s.err("", "line is too long")
			s.mistake()
			return
		}
		if err != nil {
			s.over = true
			return
		}
		if line == "*" {
			s.err("", "as you like")
			return
		}
		if message, err = decode(line); err != nil {
			s.err("", "the message is no base64")
			return
		}
	}
}

// decode reads base64; "=" is nothing (RFC 5034 4).
func decode(text string) ([]byte, error) {
	if text == "=" {
		text = ""
	}
	message, err := base64.StdEncoding.DecodeString(text)
	if message == nil {
		message = []byte{}
	}
	return message, err
}

// open locks the maildrop of who has signed in.
func (s *session) open(account string) error {
	drop, err := s.cfg.Backend.Open(s.ctx, account)
	if err != nil {
		return err
	}
	s.drop, s.messages = drop, drop.Messages()
	return nil
}

func (s *session) signedIn(err error) {
	if err != nil {
		s.fail(err)
		return
	}
	s.ok(fmt.Sprintf("%d messages", len(s.messages)))
}

// message reads the number of one that is not deleted.
func (s *session) message(text string) (index int, ok bool) {
	number, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	if err != nil || number < 1 || number > uint64(len(s.messages)) || s.deleted[int(number)-1] {
		s.err("", "there is no such message")
		return 0, false
	}
	return int(number) - 1, true
}

// list answers LIST and UIDL, of one message or of all.
func (s *session) list(rest string, tell func(int) string) {
	if strings.TrimSpace(rest) != "" {
		if i, ok := s.message(rest); ok {
			s.ok(fmt.Sprintf("%d %s", i+1, tell(i)))
		}
		return
	}
	s.ok("")
	for i := range s.messages {
		if !s.deleted[i] {
			fmt.Fprintf(s.out, "%d %s\r\n", i+1, tell(i))
		}
	}
	fmt.Fprint(s.out, ".\r\n")
}

// retrieve writes a message, or its header and some lines of its body.
func (s *session) retrieve(i, lines int) {
	r, err := s.drop.Read(s.ctx, i)
	if err != nil {
		s.fail(err)
		return
	}
	defer r.Close()
	s.ok(strconv.FormatInt(s.messages[i].Size, 10))
	if err := writeLines(s.out, r, lines); err != nil {
		s.over = true // there is no way to take it back
		s.conn.Close()
	}
}

// writeLines writes a message as RFC 1939 3 has it: lines end with CR LF, a dot that begins one is
// doubled, one alone ends it. With lines of 0 or more it stops after that many of the body.
func writeLines(out *bufio.Writer, r io.Reader, lines int) error {
	in := bufio.NewReaderSize(r, 4<<10)
	begins, header := true, true
	for {
		piece, err := in.ReadSlice('\n')
		if n := len(piece); err == bufio.ErrBufferFull && piece[n-1] == '\r' {
			piece = piece[:n-1] // it may belong to the end of the line
			if err := in.UnreadByte(); err != nil {
				return err
			}
		}
		if len(piece) > 0 {
			ended := piece[len(piece)-1] == '\n'
			if ended {
				piece = piece[:len(piece)-1]
				if n := len(piece); n > 0 && piece[n-1] == '\r' {
					piece = piece[:n-1]
				}
			}
			if !header && begins && lines >= 0 {
				if lines == 0 {
					break
				}
				lines--
			}
			if begins && len(piece) > 0 && piece[0] == '.' {
				out.WriteByte('.')
			}
			if begins && ended && len(piece) == 0 {
				header = false
			}
			out.Write(piece)
			if ended {
				out.WriteString("\r\n")
			}
			begins = ended
		}
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
	}
	if !begins {
		out.WriteString("\r\n")
	}
	_, err := out.WriteString(".\r\n")
	return err
}

// quit deletes what was marked (RFC 1939 6).
func (s *session) quit() {
	s.over = true
	if s.drop == nil {
		s.ok("bye")
		return
	}
	defer func() { // before the answer is on its way: who comes back at once finds it unlocked
		s.drop.Close()
		s.drop = nil
	}()
	if len(s.deleted) > 0 {
		var indexes []int
		for i := range s.messages {
			if s.deleted[i] {
				indexes = append(indexes, i)
			}
		}
		if err := s.drop.Delete(s.ctx, indexes); err != nil {
			s.fail(err)
			return
		}
	}
	s.ok("bye")
}
