package kith

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
)

// An ID names a host: it is the host's Ed25519 public key. IDs are comparable
// and serve as map keys. The zero ID names nobody.
type ID [ed25519.PublicKeySize]byte

const (
	idVersion  = 1
	idChecksum = 2
	idTextLen  = 56 // base32 of key, checksum and version: 35 bytes, no padding
)

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// IDOf returns the ID of the host that holds the private half of key.
func IDOf(key ed25519.PublicKey) ID {
	var id ID
	copy(id[:], key)
	return id
}

// ParseID reads the text form that [ID.String] writes: 56 characters of
// lower-case base32. It fails with an [Invalid] error that says what is wrong.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != idTextLen {
		return id, fmt.Errorf("host ID has %d characters, want %d: %w", len(text), idTextLen, Invalid)
	}
	raw, err := idEncoding.DecodeString(text)
	if err != nil || len(raw) != len(id)+idChecksum+1 { // shorter: the decoder skips line breaks
		return id, fmt.Errorf("host ID is not lower-case base32: %w", Invalid)
	}
	copy(id[:], raw)
	sum := id.checksum()
	if version := raw[len(raw)-1]; version != idVersion {
		return ID{}, fmt.Errorf("host ID of version %d, want %d: %w", version, idVersion, Invalid)
	}
	if !bytes.Equal(raw[len(id):len(id)+idChecksum], sum[:]) {
		return ID{}, fmt.Errorf("host ID is mistyped (its checksum differs): %w", Invalid)
	}
	return id, nil
}

// String returns the text form of the ID: key, checksum and version in 56
// lower-case base32 characters, the same everywhere a person or program sees it.
func (id ID) String() string {
	sum := id.checksum()
	raw := append(id[:len(id):len(id)], sum[:]...)
	return idEncoding.EncodeToString(append(raw, idVersion))
}

// Short returns the first six characters of the text form. It serves logs and
// the names of hosts that lost a name; it is no proof of who a host is.
func (id ID) Short() string { return id.String()[:6] }

// Key returns the public key that the ID is.
func (id ID) Key() ed25519.PublicKey { return ed25519.PublicKey(id[:]) }

// IsZero reports whether the ID is the zero ID, which names nobody.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText makes IDs appear in JSON in their text form, the zero ID as "".
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

func (id ID) checksum() [idChecksum]byte {
	h := sha256.New()
	h.Write([]byte("kith host ID"))
	h.Write(id[:])
	h.Write([]byte{idVersion})
	return [idChecksum]byte(h.Sum(nil)[:idChecksum])
}
