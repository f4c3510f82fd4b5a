package group

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// Limits of entries. Whatever is beyond them is refused on arrival.
const (
	MaxEntry   = 4 << 10 // bytes of a body and its signature
	MaxParents = 16      // an author that sees more heads joins them with merge entries first
	MaxUses    = 1000    // of one ticket
)

const (
	entryVersion = 1
	entryDomain  = "kith roster entry 1\x00"
	hashDomain   = "kith roster hash 1\x00"
)

// A Hash names an entry: SHA-256 over its body. A group is named by the hash
// of its genesis entry.
type Hash [sha256.Size]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h names nothing.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes what String returns.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) || bytes.ContainsAny(text, "ABCDEF") {
		return fmt.Errorf("hash %.80q is not %d lower-case hexadecimal digits: %w", text, 2*len(h), kith.Invalid)
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("hash %q: %w", text, kith.Invalid)
	}
	return nil
}

// compare orders hashes as numbers.
func (h Hash) compare(other Hash) int { return bytes.Compare(h[:], other[:]) }

// Kinds of entries. Others are kept, passed on and without effect.
const (
	kindGenesis = "genesis" // Group, Host, Nonce
	kindInvite  = "invite"  // Key, Uses, Expires, Admin
	kindAdmit   = "admit"   // Subject, Host, Admin, Invite, Overrides
	kindRevoke  = "revoke"  // Subject
	kindRole    = "role"    // Subject, Admin
	kindRename  = "rename"  // Host (the author's own) or Group
	kindLeave   = "leave"   // the author
	kindMerge   = "merge"   // nothing: its parents are joined
)

// body is the signed part of an entry. Fields that a kind does not use are
// absent; fields that this release does not know stay in the raw bytes.
type body struct {
	Version int     `json:"v"`
	Author  kith.ID `json:"author"`
	Parents []Hash  `json:"parents,omitempty"`
	Kind    string  `json:"kind"`

	Group     string  `json:"group,omitempty"`
	Host      string  `json:"host,omitempty"`
	Subject   kith.ID `json:"subject,omitzero"`
	Admin     bool    `json:"admin,omitempty"`
	Key       []byte  `json:"key,omitempty"`     // the ticket's public key
	Uses      int     `json:"uses,omitempty"`    // hosts that the ticket admits
	Expires   int64   `json:"expires,omitempty"` // Unix seconds
	Invite    Hash    `json:"invite,omitzero"`
	Overrides []Hash  `json:"overrides,omitempty"` // revocations that an admission lifts
	Nonce     []byte  `json:"nonce,omitempty"`     // makes two groups of one name two
}

// fields are the names that body knows, for checkKeys.
var fields = []string{"v", "author", "parents", "kind", "group", "host", "subject", "admin", "key", "uses", "expires", "invite", "overrides", "nonce"}

// An Entry is one signed statement of the roster's log. It is immutable.
type Entry struct {
	raw       []byte // the body as its author wrote it
	signature []byte
	hash      Hash
	body      body
}

// Hash names the entry.
func (e *Entry) Hash() Hash { return e.hash }

// Author is the host that signed the entry.
func (e *Entry) Author() kith.ID { return e.body.Author }

// Kind is what the entry says, such as "admit".
func (e *Entry) Kind() string { return e.body.Kind }

// effect is the entry's kind as far as this release can act on it: "" for an
// entry of another version or with fields that make no sense.
func (e *Entry) effect() string {
	b := &e.body
	if b.Version != entryVersion || (len(b.Parents) == 0) != (b.Kind == kindGenesis) {
		return ""
	}
	ok := true
	switch b.Kind {
	case kindGenesis:
		ok = kith.CheckLabel(b.Group) == nil && kith.CheckLabel(b.Host) == nil
	case kindInvite:
		ok = len(b.Key) == ed25519.PublicKeySize && b.Uses > 0 && b.Uses <= MaxUses && b.Expires > 0
	case kindAdmit:
		ok = !b.Subject.IsZero() && kith.CheckLabel(b.Host) == nil && len(b.Overrides) <= MaxParents
	case kindRevoke:
		ok = !b.Subject.IsZero() && b.Subject != b.Author
	case kindRole:
		ok = !b.Subject.IsZero()
	case kindRename:
		ok = (b.Host == "") != (b.Group == "") && kith.CheckLabel(b.Host+b.Group) == nil
	case kindLeave:
	default:
		ok = false
	}
	if !ok {
		return ""
	}
	return b.Kind
}

// sign makes the entry that says b in the name of key's host.
func sign(key ed25519.PrivateKey, b body) (*Entry, error) {
	b.Version = entryVersion
	b.Author = kith.IDOf(key.Public().(ed25519.PublicKey))
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("roster entry: %w", err)
	}
	signature := ed25519.Sign(key, append([]byte(entryDomain), raw...))
	return parseEntry(raw, signature)
}

// parseEntry reads an entry without checking its signature. It keeps raw and
// signature.
func parseEntry(raw, signature []byte) (*Entry, error) {
	if len(raw)+len(signature) > MaxEntry || len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("roster entry of %d bytes with a signature of %d: %w", len(raw), len(signature), kith.Invalid)
	}
	e := &Entry{raw: raw, signature: signature}
	if err := gossip.DecodeExact(raw, &e.body, fields); err != nil {
		return nil, fmt.Errorf("roster entry: %w", err)
	}
	b := &e.body
	switch {
	case b.Version < 1:
		return nil, fmt.Errorf("roster entry of version %d: %w", b.Version, kith.Invalid)
	case b.Author.IsZero() || b.Kind == "":
		return nil, fmt.Errorf("roster entry without author or kind: %w", kith.Invalid)
	case len(b.Parents) > MaxParents:
		return nil, fmt.Errorf("roster entry with %d parents, at most %d: %w", len(b.Parents), MaxParents, kith.Invalid)
	}
	for i, parent := range b.Parents {
		for _, other := range b.Parents[:i] {
			if parent == other {
				return nil, fmt.Errorf("roster entry names one parent twice: %w", kith.Invalid)
			}
		}
	}
	h := sha256.New()
	h.Write([]byte(hashDomain))
	h.Write(raw)
	h.Sum(e.hash[:0])
	return e, nil
}

// verify says whether the author signed the entry.
func (e *Entry) verify() error {
	if !ed25519.Verify(e.body.Author.Key(), append([]byte(entryDomain), e.raw...), e.signature) {
		return fmt.Errorf("roster entry %.8s by %s is not signed by it: %w", e.hash, e.body.Author.Short(), kith.Denied)
	}
	return nil
}

// appendEntry writes an entry for the wire: length of the body in two bytes,
// body, signature.
func appendEntry(buf []byte, e *Entry) []byte {
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(e.raw)))
	buf = append(buf, e.raw...)
	return append(buf, e.signature...)
}

// wireSize is the number of bytes that appendEntry adds.
func (e *Entry) wireSize() int { return 2 + len(e.raw) + len(e.signature) }

// parseEntries reads what appendEntry wrote, any number of times. Signatures
// are not checked.
func parseEntries(buf []byte) ([]*Entry, error) {
	var entries []*Entry
	for len(buf) > 0 {
		if len(buf) < 2 {
			return nil, fmt.Errorf("roster entries end early: %w", kith.Invalid)
		}
		n := int(binary.BigEndian.Uint16(buf))
		end := 2 + n + ed25519.SignatureSize
		if end > len(buf) {
			return nil, fmt.Errorf("roster entries end early: %w", kith.Invalid)
		}
		e, err := parseEntry(bytes.Clone(buf[2:2+n]), bytes.Clone(buf[2+n:end]))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		buf = buf[end:]
	}
	return entries, nil
}
