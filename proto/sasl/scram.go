package sasl

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// nonceBytes of randomness are in the server's part of a nonce.
const nonceBytes = 18

func newNonce() string {
	raw := make([]byte, nonceBytes)
	rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}

func malformed(what string) error { return fmt.Errorf("%s: %s: %w", ScramSHA256, what, ErrMalformed) }

// clientFirst answers the client-first-message with the server-first-message (RFC
// 5802 7).
func (s *Server) clientFirst(message string) (string, bool, error) {
	first, err := parseClientFirst(message)
	if err != nil {
		return "", false, err
	}
	s.header, s.user, s.identity = first.header, first.user, first.identity
	s.together = first.nonce + s.nonce
	salt, iterations := s.cfg.Accounts.Salt(s.user)
	answer := "r=" + s.together + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + strconv.Itoa(iterations)
	s.said = first.bare + "," + answer
	s.step = s.clientFinal
	return answer, false, nil
}

// clientFinal answers the client-final-message with the server-final-message.
func (s *Server) clientFinal(message string) (string, bool, error) {
	final, err := parseClientFinal(message)
	switch {
	case err != nil:
		return "", false, err
	case final.binding != s.header:
		return "", false, malformed("the channel binding is not that of the first message")
	case final.nonce != s.together:
		return "", false, malformed("the nonce is not that of the conversation")
	}
	account, signature, err := s.cfg.Accounts.CheckProof(s.ctx, s.user, s.said+","+final.withoutProof, final.proof, s.cfg.Source)
	if err != nil {
		return "", false, fmt.Errorf("sign in: %w", err)
	}
	if err := s.prove(account, s.user, s.identity); err != nil {
		return "", false, err
	}
	s.step = s.clientEnd
	return "v=" + base64.StdEncoding.EncodeToString(signature), false, nil
}

// clientEnd has the client say, with nothing, that it has seen the signature.
func (s *Server) clientEnd(message string) (string, bool, error) {
	if message != "" {
		return "", false, malformed("there is nothing more to say")
	}
	return "", true, nil
}

// A clientFirst is a client-first-message in its parts.
type clientFirst struct {
	header         string // the gs2-header with its commas
	bare           string // what follows it
	user, identity string
	nonce          string
}

func parseClientFirst(message string) (m clientFirst, err error) {
	flag, rest, ok := strings.Cut(message, ",")
	identity, bare, ok2 := strings.Cut(rest, ",")
	switch {
	case !ok || !ok2:
		return m, malformed("no gs2 header")
	case flag != "n" && flag != "y":
		return m, malformed("channel binding is not offered")
	}
	m.header, m.bare = message[:len(message)-len(bare)], bare
	if identity != "" {
		name, ok := strings.CutPrefix(identity, "a=")
		if m.identity, err = saslname(name); !ok || err != nil {
			return m, malformed("no valid identity")
		}
	}
	fields := strings.Split(bare, ",")
	if len(fields) < 2 {
		return m, malformed("no user and nonce")
	}
	name, ok := strings.CutPrefix(fields[0], "n=")
	if m.user, err = saslname(name); !ok || err != nil { // "m=": an extension that we do not know (RFC 5802 5.1)
		return m, malformed("no valid user")
	}
	if m.nonce, ok = strings.CutPrefix(fields[1], "r="); !ok || !printable(m.nonce) {
		return m, malformed("no valid nonce")
	}
	return m, extensions(fields[2:])
}

// A clientFinal is a client-final-message in its parts.
type clientFinal struct {
	binding      string // what was sent in base64
	nonce        string
	withoutProof string
	proof        []byte
}

func parseClientFinal(message string) (m clientFinal, err error) {
	end := strings.LastIndex(message, ",p=")
	if end < 0 {
		return m, malformed("no proof")
	}
	m.withoutProof = message[:end]
	if m.proof, err = decode(message[end+len(",p="):]); err != nil {
		return m, malformed("the proof is not base64")
	}
	fields := strings.Split(m.withoutProof, ",")
	if len(fields) < 2 {
		return m, malformed("no channel binding and nonce")
	}
	text, ok := strings.CutPrefix(fields[0], "c=")
	binding, err := decode(text)
	if !ok || err != nil {
		return m, malformed("no valid channel binding")
	}
	m.binding = string(binding)
	if m.nonce, ok = strings.CutPrefix(fields[1], "r="); !ok {
		return m, malformed("no nonce")
	}
	return m, extensions(fields[2:])
}

// extensions are ignored, but have a form: a letter, "=", and a value (RFC 5802 7,
// attr-val). The letter m is reserved for those that must not be ignored.
func extensions(fields []string) error {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || f[0] == 'm' || (f[0]|0x20) < 'a' || (f[0]|0x20) > 'z' {
			return malformed("an extension that is not known")
		}
	}
	return nil
}

// saslname undoes the escapes of a name: "=2C" and "=3D" for the comma and the equals
// sign (RFC 5802 5.1).
func saslname(text string) (string, error) {
	var b strings.Builder
	for text != "" {
		plain, escaped, found := strings.Cut(text, "=")
		b.WriteString(plain)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(escaped, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(escaped, "3D"):
			b.WriteByte('=')
		default:
			return "", ErrMalformed
		}
		text = escaped[2:]
	}
	if b.Len() == 0 || strings.ContainsRune(b.String(), 0) {
		return "", ErrMalformed
	}
	return b.String(), nil
}

// printable reports whether text can be a nonce; it has no comma already.
func printable(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return text != ""
}

func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, ErrMalformed
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}
