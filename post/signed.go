package post

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// Limits of what others sign.
const (
	maxSigned   = 2 << 10 // bytes of a body
	maxReason   = 300     // bytes
	clockSlack  = 10 * time.Minute
	maxApp      = 32
	wireVersion = 1
)

// Domains of signatures (RFC 8032).
const (
	headerDomain  = "kith letter header 1\x00"
	letterDomain  = "kith letter 1\x00"
	receiptDomain = "kith letter receipt 1\x00"
	custodyDomain = "kith letter custody 1\x00"
)

// A key names a letter.
type key struct {
	from   kith.ID
	letter kith.LetterID
}

const keySize = len(kith.ID{}) + len(kith.LetterID{})

func (k key) append(buf []byte) []byte { return append(append(buf, k.from[:]...), k.letter[:]...) }

func cutKey(buf []byte) (k key, rest []byte, err error) {
	if len(buf) < keySize {
		return k, nil, fmt.Errorf("name of a letter in %d bytes: %w", len(buf), kith.Invalid)
	}
	copy(k.from[:], buf)
	copy(k.letter[:], buf[len(k.from):])
	return k, buf[keySize:], nil
}

// A signature stands over a body as its author wrote it. Fields that this
// release does not know stay in it.
type signed struct {
	raw       []byte
	signature []byte
}

func sign(private ed25519.PrivateKey, domain string, body any) (signed, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return signed{}, err
	}
	return signed{raw, ed25519.Sign(private, append([]byte(domain), raw...))}, nil
}

// verify checks that the host id signed it.
func (s signed) verify(domain string, id kith.ID) error {
	if !ed25519.Verify(id.Key(), append([]byte(domain), s.raw...), s.signature) {
		return fmt.Errorf("signature is not that of %s: %w", id.Short(), kith.Denied)
	}
	return nil
}

func (s signed) append(buf []byte) []byte {
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(s.raw)))
	return append(append(buf, s.raw...), s.signature...)
}

func cutSigned(buf []byte) (s signed, rest []byte, err error) {
	if len(buf) < 2 {
		return s, nil, fmt.Errorf("signed text ends early: %w", kith.Invalid)
	}
	n := int(binary.BigEndian.Uint16(buf))
	if buf = buf[2:]; n > maxSigned || len(buf) < n+ed25519.SignatureSize {
		return s, nil, fmt.Errorf("signed text of %d bytes: %w", n, kith.Invalid)
	}
	return signed{buf[:n:n], buf[n : n+ed25519.SignatureSize : n+ed25519.SignatureSize]}, buf[n+ed25519.SignatureSize:], nil
}

// A header is what custodians see of a letter, signed by its sender.
type header struct {
	signed
	headerBody
}

type headerBody struct {
	Version int           `json:"v"`
	Group   []byte        `json:"group"`
	From    kith.ID       `json:"from"`
	To      kith.ID       `json:"to"`
	Letter  kith.LetterID `json:"letter"`
	Seal    int           `json:"seal"` // rises each time that the letter is sealed
	Key     []byte        `json:"key"`  // of the receiver, that it is sealed to
	Body    kith.BlobID   `json:"body"` // the sealed letter
	Size    int64         `json:"size"` // bytes of it
	Expires int64         `json:"expires"`
}

var headerFields = []string{"v", "group", "from", "to", "letter", "seal", "key", "body", "size", "expires"}

func (h *header) key() key { return key{h.From, h.Letter} }

func signHeader(private ed25519.PrivateKey, b headerBody) (*header, error) {
	b.Version = wireVersion
	s, err := sign(private, headerDomain, b)
	return &header{s, b}, err
}

// parseHeader reads a header without checking its signature.
func parseHeader(s signed) (*header, error) {
	h := &header{signed: s}
	if err := gossip.DecodeExact(s.raw, &h.headerBody, headerFields); err != nil {
		return nil, fmt.Errorf("header of a letter: %w", err)
	}
	switch {
	case h.Version < 1 || len(h.Group) != 32 || h.From.IsZero() || h.To.IsZero() || h.Body.IsZero() || len(h.Key) > 64:
		return nil, fmt.Errorf("header of a letter lacks something: %w", kith.Invalid)
	case h.Seal < 1 || h.Seal > 1<<20 || h.Size < 1 || h.Size > maxSealed || h.Expires < 1 || h.Expires > 1<<40:
		return nil, fmt.Errorf("header of a letter of %d bytes, sealed %d times, to expire at %d: %w", h.Size, h.Seal, h.Expires, kith.Invalid)
	}
	return h, nil
}

// contents is what the receiver alone sees, before the payload.
type contents struct {
	Version  int           `json:"v"`
	Group    []byte        `json:"group"`
	From     kith.ID       `json:"from"`
	To       kith.ID       `json:"to"`
	Letter   kith.LetterID `json:"letter"`
	App      string        `json:"app"`
	Sent     int64         `json:"sent"` // milliseconds
	Expires  int64         `json:"expires"`
	Note     kith.BlobID   `json:"note,omitzero"` // the hash of it; it is before the payload
	NoteSize int           `json:"note_size,omitempty"`
	Payload  kith.BlobID   `json:"payload"`
	Size     int64         `json:"size"`
	Stream   []byte        `json:"stream,omitempty"` // numbers of ordered letters count within it
	Sequence int64         `json:"sequence,omitempty"`
}

var contentsFields = []string{"v", "group", "from", "to", "letter", "app", "sent", "expires", "note", "note_size", "payload", "size", "stream", "sequence"}

// parseContents reads what is in the letter of a header, and checks that its sender wrote it.
func parseContents(s signed, h *header) (*contents, error) {
	var c contents
	if err := gossip.DecodeExact(s.raw, &c, contentsFields); err != nil {
		return nil, fmt.Errorf("letter: %w", err)
	}
	if err := s.verify(letterDomain, h.From); err != nil {
		return nil, fmt.Errorf("letter: %w", err)
	}
	if c.From != h.From || c.To != h.To || c.Letter != h.Letter || c.Expires != h.Expires || string(c.Group) != string(h.Group) {
		return nil, fmt.Errorf("letter and header differ: %w", kith.Denied)
	}
	if c.Version < 1 || c.App == "" || len(c.App) > maxApp || c.NoteSize < 0 || c.NoteSize > kith.MaxNote || c.Size < 0 || c.Size > kith.MaxLetter || len(c.Stream) > 16 || c.Sequence < 0 {
		return nil, fmt.Errorf("letter of %d and %d bytes for %.40q: %w", c.NoteSize, c.Size, c.App, kith.Invalid)
	}
	return &c, nil
}

// Outcomes in receipts.
const (
	outcomeDelivered  = "delivered"
	outcomeRefused    = "refused"
	outcomeUnreadable = "unreadable" // the key it was sealed to is gone: to be sealed again
)

// A receipt is what the receiver says became of a letter. Receipts of a receiver
// have rising numbers, and members get them in that order.
type receipt struct {
	signed
	receiptBody
}

type receiptBody struct {
	Version int           `json:"v"`
	Group   []byte        `json:"group"`
	To      kith.ID       `json:"to"`     // the receiver, who signs
	Number  int64         `json:"number"` // above those before
	From    kith.ID       `json:"from"`
	Letter  kith.LetterID `json:"letter"`
	Seal    int           `json:"seal"`
	Outcome string        `json:"outcome"`
	Reason  string        `json:"reason,omitempty"`
	Time    int64         `json:"time"`           // milliseconds
	Expires int64         `json:"expires"`        // the letter's
	Keep    int64         `json:"keep,omitempty"` // custodians keep the letter until then, if they can
}

var receiptFields = []string{"v", "group", "to", "number", "from", "letter", "seal", "outcome", "reason", "time", "expires", "keep"}

func (r *receipt) key() key { return key{r.From, r.Letter} }

func signReceipt(private ed25519.PrivateKey, b receiptBody) (*receipt, error) {
	b.Version = wireVersion
	b.Reason = shorten(b.Reason)
	s, err := sign(private, receiptDomain, b)
	return &receipt{s, b}, err
}

// shorten cuts a reason to what a receipt may hold.
func shorten(reason string) string {
	reason = strings.ToValidUTF8(reason, "?")
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason-3], "") + "..."
}

// parseReceipt reads a receipt without checking its signature.
func parseReceipt(s signed) (*receipt, error) {
	r := &receipt{signed: s}
	if err := gossip.DecodeExact(s.raw, &r.receiptBody, receiptFields); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if r.Version < 1 || len(r.Group) != 32 || r.To.IsZero() || r.From.IsZero() || r.Number < 1 || r.Expires < 1 || r.Expires > 1<<40 ||
		r.Outcome == "" || len(r.Outcome) > 16 || len(r.Reason) > 2*maxReason {
		return nil, fmt.Errorf("receipt number %d of %s: %w", r.Number, r.To.Short(), kith.Invalid)
	}
	return r, nil
}
