package kith

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"
)

// A LetterID names a letter among those of its sender.
type LetterID [16]byte

// NewLetterID returns an ID that nobody has used.
func NewLetterID() (id LetterID) {
	rand.Read(id[:]) // never fails
	return id
}

// String returns the text form: 26 lower-case base32 characters.
func (l LetterID) String() string { return idEncoding.EncodeToString(l[:]) }

// MarshalText makes IDs appear in JSON in their text form.
func (l LetterID) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (l *LetterID) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLetterID(string(text))
	return err
}

// ParseLetterID reads the text form. It fails with an [Invalid] error.
func ParseLetterID(text string) (LetterID, error) {
	decoded, err := idEncoding.DecodeString(text)
	if err != nil || len(decoded) != len(LetterID{}) || idEncoding.EncodeToString(decoded) != text {
		return LetterID{}, fmt.Errorf("%.60q is not 26 letters and digits from a to z and 2 to 7: %w", text, Invalid)
	}
	return LetterID(decoded), nil
}

// What a letter may be.
const (
	MaxLetter    = 64 << 20            // bytes of its payload
	MaxNote      = 64 << 10            // bytes of its note
	LetterExpiry = 30 * 24 * time.Hour // where nothing else was said; no letter lives longer
)

// A Letter is what an application leaves for the same application on a host that
// may be down. Its payload is read by the receiving host alone.
type Letter struct {
	ID      LetterID  `json:"id"`
	From    ID        `json:"from"`
	To      ID        `json:"to"`
	App     string    `json:"app"`
	Note    []byte    `json:"-"` // what the application said of the payload
	Payload Blob      `json:"-"`
	Sent    time.Time `json:"sent"`    // by the sender's clock
	Expires time.Time `json:"expires"` // it is delivered before, or not at all
}

// A Draft is a letter to be sent.
type Draft struct {
	To      ID
	Note    []byte // what the payload is, and for whom: so one blob goes to many hosts; at most MaxNote bytes
	Payload Blob
	Expires time.Time // zero: in LetterExpiry
	Ordered bool      // received after the ordered letters sent to this host before; one that does not come holds up the rest for a minute
}

// States of a letter, as its sender sees it.
const (
	LetterQueued    = "queued"    // on this host alone
	LetterHeld      = "held"      // at other members, too, or for certain on its way by them
	LetterDelivered = "delivered" // the receiver says so
	LetterRefused   = "refused"   // the receiver says so, or the sender is no member any more
	LetterExpired   = "expired"   // nobody knows that it was delivered
)

// A LetterStatus is how a letter of this host is doing.
type LetterStatus struct {
	Letter
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"` // why it is where it is, as a sentence
	Held   []ID      `json:"held,omitempty"`   // members that have it now
	Since  time.Time `json:"since"`            // of the state
	Late   bool      `json:"late,omitempty"`   // it arrived after all: the application was told that it had expired
}

// Ended reports whether the state is the last one.
func (s LetterStatus) Ended() bool { return s.State != LetterQueued && s.State != LetterHeld }

// A Post brings letters to hosts, whether or not they are up at the same time as
// this one: while the receiver sleeps other members hold its letters, sealed. What an
// application sends the same application receives, once, by its [Service]. It is
// safe for concurrent use.
type Post interface {
	// Send leaves a letter when tx commits; from then on it is not lost. The blob
	// of its payload need be kept by nobody else. It fails with kind NotFound where the
	// receiver is no member, Invalid for a draft that can never be sent, and Quota
	// where too much is on its way already.
	Send(ctx context.Context, tx *sql.Tx, draft Draft) (LetterID, error)

	// Letter returns the status of a letter of this host. Those that have ended are known
	// for as long as letters live. It fails with kind NotFound.
	Letter(ctx context.Context, id LetterID) (LetterStatus, error)

	// Letters returns at most limit letters of this host, the newest first and without notes: those of an
	// application, or of all where app is "".
	Letters(ctx context.Context, app string, limit int) ([]LetterStatus, error)

	// Changed returns a channel that is closed when the status of a letter has
	// changed since the call.
	Changed() <-chan struct{}

	// Limits are the host's, for all applications. SetLimits changes them for good; what is held
	// already stays. It fails with kind Invalid.
	Limits() PostLimits
	SetLimits(ctx context.Context, limits PostLimits) error

	// Custody tells what this host holds for others, the most first.
	Custody() []Custody

	// Lost lists letters that this host had received, and lost when it was restored from a backup: the
	// newest first, and without those that came again.
	Lost(ctx context.Context) ([]LostLetter, error)
}

// PostLimits are what letters of others may take of this host, and how its own are looked after.
// Zero means the default.
type PostLimits struct {
	Total  int64 `json:"total"`  // bytes of letters held for others
	Sender int64 `json:"sender"` // of these, bytes of each sender
	Copies int   `json:"copies"` // how many members hold a letter of this host
	Margin bool  `json:"margin"` // members keep what was delivered to this host for a week, so that it is there again after a restore
}

// What holds where nothing else was said.
const (
	DefaultCustody       = 2 << 30
	DefaultSenderCustody = 512 << 20
	DefaultLetterCopies  = 3
)

// A LostLetter was received before the host was restored. It may come again until it expires.
type LostLetter struct {
	ID       LetterID  `json:"id"`
	From     ID        `json:"from"`
	Received time.Time `json:"received"`
	Expires  time.Time `json:"expires"`
}

// Custody is what a host holds of a sender's letters.
type Custody struct {
	From    ID    `json:"from"`
	Letters int   `json:"letters"`
	Bytes   int64 `json:"bytes"`
}
