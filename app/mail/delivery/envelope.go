package delivery

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"kith.alt/kith"
)

const (
	version     = 1         // of a payload
	maxEnvelope = 512 << 10 // bytes

	// MaxRecipients of a message, before lists are expanded; of a letter, after.
	MaxRecipients = 1000
	maxInALetter  = 2000
	maxEnvelopeID = 100 // characters of an envelope ID (RFC 3461 4.4)
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

// payload returns a letter's payload in front of the message.
func (e *Envelope) payload(message io.Reader) (io.Reader, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if len(text) > maxEnvelope {
		return nil, fmt.Errorf("the envelope has %d bytes, at most %d: %w", len(text), maxEnvelope, kith.Invalid)
	}
	head := binary.BigEndian.AppendUint32([]byte{version}, uint32(len(text)))
	return io.MultiReader(bytes.NewReader(append(head, text...)), message), nil
}

// readEnvelope reads the envelope of a payload, and leaves the reader at the message. It fails with
// kind Invalid.
func readEnvelope(r io.Reader) (*Envelope, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, unreadable(err)
	}
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != version:
		return nil, fmt.Errorf("mail of version %d, this host knows %d: %w", head[0], version, kith.Invalid)
	case size > maxEnvelope:
		return nil, fmt.Errorf("the envelope has %d bytes, at most %d: %w", size, maxEnvelope, kith.Invalid)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, unreadable(err)
	}
	e := new(Envelope)
	if err := json.Unmarshal(text, e); err != nil {
		return nil, fmt.Errorf("the envelope is not as it should be (%v): %w", err, kith.Invalid)
	}
	return e, e.check()
}

// check fails with kind Invalid for what cannot be an envelope.
func (e *Envelope) check() error {
	switch {
	case len(e.Recipients) == 0 || len(e.Recipients) > maxInALetter:
		return fmt.Errorf("the envelope has %d recipients, from 1 to %d: %w", len(e.Recipients), maxInALetter, kith.Invalid)
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
