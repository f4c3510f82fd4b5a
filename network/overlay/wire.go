package overlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith"
)

// A verdict says on the wire how a question was answered: 0 is yes, the
// others are kinds of errors. Verdicts are never renumbered; an unknown one
// is a temporary failure.
type verdict byte

const (
	accepted  verdict = 0
	refused   verdict = 1 // nobody listens on the port
	denied    verdict = 2
	notMember verdict = 3
	overQuota verdict = 4
	temporary verdict = 5
	invalid   verdict = 6
	expired   verdict = 7
	notFound  verdict = 8
	exists    verdict = 9
)

var verdictKinds = []struct {
	verdict verdict
	kind    kith.Kind
}{
	{refused, kith.Refused},
	{denied, kith.Denied},
	{notMember, kith.NotMember},
	{overQuota, kith.Quota},
	{invalid, kith.Invalid},
	{expired, kith.Expired},
	{notFound, kith.NotFound},
	{exists, kith.Exists},
	{temporary, kith.Temporary},
}

// judge turns an error into a verdict and a reason for the peer. What has no
// kind is nobody else's business: a temporary failure without a reason.
func judge(err error) (verdict, string) {
	if err == nil {
		return accepted, ""
	}
	for _, v := range verdictKinds {
		if errors.Is(err, v.kind) {
			return v.verdict, cleanReason(strings.TrimSuffix(err.Error(), ": "+string(v.kind)))
		}
	}
	return temporary, ""
}

// err turns a verdict of the peer into an error of its kind, or nil.
func (v verdict) err(reason string) error {
	if v == accepted {
		return nil
	}
	kind := kith.Temporary
	for _, known := range verdictKinds {
		if known.verdict == v {
			kind = known.kind
		}
	}
	if reason = cleanReason(reason); reason != "" && reason != string(kind) {
		return fmt.Errorf("%s: %w", reason, kind)
	}
	return kind
}

const maxReason = 255

// cleanReason keeps what people can read of a text from outside.
func cleanReason(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
		for !utf8.ValidString(s) && len(s) > maxReason-utf8.UTFMax {
			s = s[:len(s)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// A header begins every stream, sent by whoever opens it:
//
//	version (1) | flags (1) | port (2)
//
// A new socket adds
//
//	socket (16) | seconds that it may be suspended (4)
//
// and a socket that is resumed, whose port is 0,
//
//	socket (16) | generation (4) | position (8) | instance of the dialler (8) | of the acceptor (8)
//
// Both are answered with a verdict and, unless it accepts, a length (1) and a
// reason; a resumption that is accepted, with the acceptor's position (8).
// Goodbye and control add nothing and have no answer. Unknown flags are
// ignored.
type header struct {
	program bool // a local program dials, not the node itself
	goodbye bool // the sender's host leaves: end the carrier when you have read to the end
	control bool // the sender's notices follow
	resume  bool
	port    uint16

	socket   socketID
	suspend  time.Duration // in whole seconds
	position position
}

// A socketID names a socket between two hosts. Its dialler makes it, at random.
type socketID [16]byte

// A position is where a dialler resumes a socket.
type position struct {
	generation        uint32
	received          uint64
	dialler, acceptor instance
}

const (
	headerVersion = 2 // 1 had sockets that ended with their carrier
	headerSize    = 4
	openSize      = 16 + 4
	resumeSize    = 16 + 4 + 8 + 8 + 8

	flagProgram = 1 << 0
	flagGoodbye = 1 << 1
	flagControl = 1 << 2
	flagResume  = 1 << 3
)

func (h header) append(b []byte) []byte {
	flags := byte(0)
	for _, f := range []struct {
		set  bool
		flag byte
	}{{h.program, flagProgram}, {h.goodbye, flagGoodbye}, {h.control, flagControl}, {h.resume, flagResume}} {
		if f.set {
			flags |= f.flag
		}
	}
	b = binary.BigEndian.AppendUint16(append(b, headerVersion, flags), h.port)
	switch {
	case h.goodbye || h.control:
	case h.resume:
		b = append(b, h.socket[:]...)
		b = binary.BigEndian.AppendUint32(b, h.position.generation)
		b = binary.BigEndian.AppendUint64(b, h.position.received)
		b = append(append(b, h.position.dialler[:]...), h.position.acceptor[:]...)
	default:
		b = append(b, h.socket[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(h.suspend/time.Second))
	}
	return b
}

func readHeader(r io.Reader) (header, error) {
	var b [resumeSize]byte
	if _, err := io.ReadFull(r, b[:headerSize]); err != nil {
		return header{}, fmt.Errorf("read stream header: %w", err)
	}
	if b[0] != headerVersion {
		return header{}, fmt.Errorf("stream header has version %d, want %d: %w", b[0], headerVersion, kith.Invalid)
	}
	flags := b[1]
	h := header{
		program: flags&flagProgram != 0, goodbye: flags&flagGoodbye != 0,
		control: flags&flagControl != 0, resume: flags&flagResume != 0,
		port: binary.BigEndian.Uint16(b[2:]),
	}
	size := openSize
	switch {
	case h.goodbye || h.control:
		return h, nil
	case h.resume:
		size = resumeSize
	case h.port == 0:
		return header{}, fmt.Errorf("stream header names port 0: %w", kith.Invalid)
	}
	if _, err := io.ReadFull(r, b[:size]); err != nil {
		return header{}, fmt.Errorf("read stream header: %w", err)
	}
	h.socket = socketID(b[:16])
	if h.resume {
		h.position = position{
			generation: binary.BigEndian.Uint32(b[16:]), received: binary.BigEndian.Uint64(b[20:]),
			dialler: instance(b[28:36]), acceptor: instance(b[36:44]),
		}
		return h, nil
	}
	h.suspend = time.Duration(binary.BigEndian.Uint32(b[16:])) * time.Second
	return h, nil
}

func writeVerdict(w io.Writer, err error) error {
	v, reason := judge(err)
	b := []byte{byte(v)}
	if v != accepted {
		b = append(append(b, byte(len(reason))), reason...)
	}
	_, werr := w.Write(b)
	return werr
}

// readVerdict returns the peer's refusal as an error of its kind, nil if it
// accepts. err says why there is no verdict.
func readVerdict(r io.Reader) (refusal, err error) {
	var b [1 + maxReason]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return nil, err
	}
	v := verdict(b[0])
	if v == accepted {
		return nil, nil
	}
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return nil, err
	}
	reason := b[1 : 1+int(b[0])]
	if _, err := io.ReadFull(r, reason); err != nil {
		return nil, err
	}
	return v.err(string(reason)), nil
}
