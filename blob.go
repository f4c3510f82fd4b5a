package kith

import (
	"context"
	"database/sql"
	"fmt"
	"io"
)

// A BlobID names bytes by their SHA-256. The zero ID names nothing.
type BlobID [32]byte

// String returns the text form: 52 lower-case base32 characters.
func (b BlobID) String() string { return idEncoding.EncodeToString(b[:]) }

// IsZero reports whether the ID is the zero ID.
func (b BlobID) IsZero() bool { return b == BlobID{} }

// MarshalText makes IDs appear in JSON in their text form, the zero ID as "".
func (b BlobID) MarshalText() ([]byte, error) {
	if b.IsZero() {
		return nil, nil
	}
	return []byte(b.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (b *BlobID) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*b = BlobID{}
		return nil
	}
	*b, err = ParseBlobID(string(text))
	return err
}

// ParseBlobID reads the text form. It fails with an [Invalid] error.
func ParseBlobID(text string) (BlobID, error) {
	decoded, err := idEncoding.DecodeString(text)
	if err != nil || len(decoded) != len(BlobID{}) || idEncoding.EncodeToString(decoded) != text {
		return BlobID{}, fmt.Errorf("%.60q is not 52 letters and digits from a to z and 2 to 7: %w", text, Invalid)
	}
	return BlobID(decoded), nil
}

// A Blob is bytes that do not change.
type Blob struct {
	ID   BlobID
	Size int64 // bytes
}

// Blobs keep what is too large for a table: letters, messages. There is one copy of
// a blob however often it is kept, and it is there exactly as long as a committed
// transaction says so. They are private to this host: what is for others is
// shared ([Swarm]) or sent ([Post]). Blobs are safe for concurrent use.
type Blobs interface {
	// Write reads r to its end. The blob can be opened from now until ctx ends, which is
	// that of the work at hand, as small blobs are in memory until then; and
	// after that if a transaction has kept it. More than limit bytes are an error of
	// kind Invalid, a full disk one of kind Quota; then nothing is there.
	Write(ctx context.Context, r io.Reader, limit int64) (Blob, error)

	// Keep has a blob stay when tx commits: until Release has been called as often as
	// Keep. It fails with kind NotFound. The blob is durable when the transaction is.
	Keep(ctx context.Context, tx *sql.Tx, id BlobID) error

	// Release takes back a Keep when tx commits. It fails with kind NotFound. Who hands a
	// blob on has it kept before it is released.
	Release(ctx context.Context, tx *sql.Tx, id BlobID) error

	// Open reads a blob, which the caller closes. Who opened it reads on while
	// others release it. It may be called within an Update of the store, and not within a
	// View. It fails with kind NotFound.
	Open(ctx context.Context, id BlobID) (io.ReadSeekCloser, error)
}
