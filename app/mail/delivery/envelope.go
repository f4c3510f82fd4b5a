package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"kith.alt/kith"
)

const (
	// MaxRecipients of a message, before lists are expanded; of a letter, after: so many that the longest
	// envelope is a note.
	MaxRecipients = 1000
	maxInALetter  = 30
	maxEnvelopeID = 100 // characters of an envelope ID (RFC 3461 4.4)
)

// The form of letters in earlier versions, which may still be under way: the envelope before the
// message, in the payload.
const (
	earlierVersion = 1
	maxEarlier     = 512 << 10 // bytes of the envelope
	maxInEarlier   = 2000      // recipients
)

// A Recipient is one of an envelope.
type Recipient struct {
	Address  string   `json:"address"`            // in a letter: of the host that it goes to, without a domain
	Notify   []string `json:"notify,omitempty"`   // RFC 3461 4.1: when the sender is told; none: of failures
	Original string   `json:"original,omitempty"` // RFC 3461 4.2: "rfc822;bob@oak"
}

// An Envelope is what hosts tell each other of a message that is not in it.
type Envelope struct {
	Sender     string      `json:"sender,omitempty"` // full address; "" for what nobody answers
	Recipients []Recipient `json:"recipients"`
	Return     string      `json:"return,omitempty"` // RFC 3461 4.3: FULL or HDRS, what comes back
	ID         string      `json:"id,omitempty"`     // RFC 3461 4.4
	Arrived    time.Time   `json:"arrived"`          // at the sender's host
}

// note returns the envelope as a letter's note. It fails with kind Invalid.
func (e *Envelope) note() ([]byte, error) {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false) // which makes six bytes of one
	if err := w.Encode(e); err != nil {
		return nil, err
	}
	if b.Len() > kith.MaxNote {
		return nil, fmt.Errorf("the envelope has %d bytes, at most %d: %w", b.Len(), kith.MaxNote, kith.Invalid)
	}
	return b.Bytes(), nil
}

// readEnvelope reads the envelope of a letter, and returns the message that is its payload. It fails with kind Invalid.
// What it opened the caller closes.
func readEnvelope(ctx context.Context, blobs kith.Blobs, l kith.Letter) (e *Envelope, message io.ReadSeekCloser, err error) {
	message, err = blobs.Open(ctx, l.Payload.ID)
	if err != nil {
		return nil, nil, err
	}
	text := l.Note
	if len(text) == 0 {
		text, err = readEarlier(message)
	}
	if err == nil {
		e, err = parseEnvelope(text)
	}
	if err != nil {
		message.Close()
		return nil, nil, err
	}
	return e, message, nil
}

func parseEnvelope(text []byte) (*Envelope, error) {
	e := new(Envelope)
	if err := json.Unmarshal(text, e); err != nil {
		return nil, fmt.Errorf("the envelope is not as it should be (%v): %w", err, kith.Invalid)
	}
	return e, e.check()
}

// readEarlier reads the envelope of an earlier version, and leaves the reader at the message.
func readEarlier(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, unreadable(err)
	}
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != earlierVersion:
		return nil, fmt.Errorf("the letter has no envelope that this host knows: %w", kith.Invalid)
	case size > maxEarlier:
		return nil, fmt.Errorf("the envelope has %d bytes, at most %d: %w", size, maxEarlier, kith.Invalid)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, unreadable(err)
	}
	return text, nil
}

// check fails with kind Invalid for what cannot be an envelope.
func (e *Envelope) check() error {
	switch {
	case len(e.Recipients) == 0 || len(e.Recipients) > maxInEarlier:
		return fmt.Errorf("the envelope has %d recipients, from 1 to %d: %w", len(e.Recipients), maxInEarlier, kith.Invalid)
	case !line(e.Sender, 320), !line(e.ID, maxEnvelopeID), !line(e.Return, 10):
		return fmt.Errorf("the envelope has a text that is none: %w", kith.Invalid)
	}
	for _, r := range e.Recipients {
		if !line(r.Address, 320) || !line(r.Original, 500) || len(r.Notify) > 4 {
			return fmt.Errorf("a recipient is none: %w", kith.Invalid)
		}
	}
	return nil
}

// unreadable tells a payload that is short from a disk that fails.
func unreadable(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("the letter ends within its envelope: %w", kith.Invalid)
	}
	return err
}

// line reports whether text is one line of ASCII.
func line(text string, most int) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return len(text) <= most
}
