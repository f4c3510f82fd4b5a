package overlay

import (
	"errors"
	"fmt"
	"io"
	"strings"
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
