package library

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// Limits of records. Whatever is beyond them is refused on arrival.
const (
	MaxEntries    = 2000                // titles of a host, those withdrawn lately counted
	MaxTitle      = 120                 // characters
	MaxHoldings   = 2000                // contents that a host announces
	MaxVersion    = 1<<53 - 1           // exact in every reader of JSON
	TombstoneLife = 90 * 24 * time.Hour // since it was withdrawn

	maxName      = 255     // bytes
	maxKind      = 16      // letters
	maxSize      = 1 << 50 // bytes of content
	maxFiles     = 1 << 20
	maxEntryBody = 4 << 10
	maxHoldBody  = 24 << 10
	maxAhead     = 24 * time.Hour // of our clock, where time decides

	recordFormat = 2 // 1 named no group
)

type recordKind byte

const (
	kindEntry    recordKind = 1
	kindHoldings recordKind = 2
)

func (k recordKind) domain() string {
	if k == kindEntry {
		return "kith library entry 1\x00"
	}
	return "kith library holdings 1\x00"
}

// A record is a signed statement of a host: an entry, or its holdings. It does
// not change once it is in a library.
type record struct {
	kind      recordKind
	raw       []byte // the body as its host wrote it
	signature []byte
	mark      mark // of raw

	group    [32]byte
	entry    kith.Entry // Host, Version and Published are there for holdings, too
	contents []uint64   // of holdings: sorted

	received int64   // Unix seconds
	arrival  uint64  // counts what came to this library since it was opened; 0: before
	from     kith.ID // the member that brought it
	quiet    bool    // it is not news: it came in an answer, and is not pushed
}

type entryBody struct {
	Format int    `json:"v"`
	Group  []byte `json:"group"` // that its host was in when it wrote it
	kith.Entry
}

type holdingsBody struct {
	Format    int       `json:"v"`
	Group     []byte    `json:"group"`
	Host      kith.ID   `json:"host"`
	Version   uint64    `json:"version"`
	Published time.Time `json:"published"`
	Contents  []byte    `json:"contents"` // the first eight bytes of each ID, ascending
}

var bodyFields = []string{"v", "group", "host", "title", "kind", "version", "content", "name", "size", "files", "folder", "published", "withdrawn", "contents"}

// signEntry makes the record that says e in the name of key's host, in a group.
func signEntry(key ed25519.PrivateKey, group [32]byte, e kith.Entry) (*record, error) {
	return sign(key, kindEntry, entryBody{recordFormat, group[:], e})
}

func signHoldings(key ed25519.PrivateKey, group [32]byte, host kith.ID, contents []uint64, version uint64, published time.Time) (*record, error) {
	b := holdingsBody{Format: recordFormat, Group: group[:], Host: host, Version: version, Published: published}
	for _, content := range contents {
		b.Contents = binary.BigEndian.AppendUint64(b.Contents, content)
	}
	return sign(key, kindHoldings, b)
}

func sign(key ed25519.PrivateKey, kind recordKind, body any) (*record, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("library record: %w", err)
	}
	return parseRecord(kind, raw, ed25519.Sign(key, append([]byte(kind.domain()), raw...)))
}

// parseRecord reads a record without checking its signature. It keeps raw and
// signature.
func parseRecord(kind recordKind, raw, signature []byte) (*record, error) {
	r := &record{kind: kind, raw: raw, signature: signature, mark: markOf(raw)}
	if len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("library record with a signature of %d bytes: %w", len(signature), kith.Invalid)
	}
	var err error
	switch kind {
	case kindEntry:
		err = r.parseEntry()
	case kindHoldings:
		err = r.parseHoldings()
	default:
		err = fmt.Errorf("kind %d: %w", kind, kith.Invalid)
	}
	if err != nil {
		return nil, fmt.Errorf("library record: %w", err)
	}
	if e := &r.entry; e.Host.IsZero() || e.Version < 1 || e.Version > MaxVersion {
		return nil, fmt.Errorf("library record of host %s with version %d: %w", e.Host.Short(), e.Version, kith.Invalid)
	}
	return r, nil
}

func (r *record) parseEntry() error {
	var b entryBody
	if len(r.raw) > maxEntryBody {
		return fmt.Errorf("entry of %d bytes: %w", len(r.raw), kith.Invalid)
	}
	if err := decode(r.raw, &b); err != nil {
		return err
	}
	if err := r.parseGroup(b.Format, b.Group); err != nil {
		return err
	}
	r.entry = b.Entry
	r.entry.Published = b.Published.UTC()
	return checkEntry(&b.Entry)
}

func (r *record) parseGroup(format int, group []byte) error {
	if format < recordFormat {
		return fmt.Errorf("it has format %d, of an older release that named no group: %w", format, kith.Invalid)
	}
	if len(group) != len(r.group) {
		return fmt.Errorf("a group is named by %d bytes: %w", len(group), kith.Invalid)
	}
	copy(r.group[:], group)
	return nil
}

func (r *record) parseHoldings() error {
	var b holdingsBody
	if len(r.raw) > maxHoldBody {
		return fmt.Errorf("holdings of %d bytes: %w", len(r.raw), kith.Invalid)
	}
	if err := decode(r.raw, &b); err != nil {
		return err
	}
	if err := r.parseGroup(b.Format, b.Group); err != nil {
		return err
	}
	if len(b.Contents)%prefixSize != 0 || len(b.Contents) > MaxHoldings*prefixSize {
		return fmt.Errorf("holdings with %d bytes of contents: %w", len(b.Contents), kith.Invalid)
	}
	r.entry = kith.Entry{Host: b.Host, Version: b.Version, Published: b.Published}
	r.contents = make([]uint64, 0, len(b.Contents)/prefixSize)
	for at := 0; at < len(b.Contents); at += prefixSize {
		content := binary.BigEndian.Uint64(b.Contents[at:])
		if n := len(r.contents); n > 0 && r.contents[n-1] >= content {
			return fmt.Errorf("holdings out of order: %w", kith.Invalid)
		}
		r.contents = append(r.contents, content)
	}
	return nil
}

// checkEntry says what of an entry cannot be: in one of ours, and in one
// that arrives.
func checkEntry(e *kith.Entry) error {
	if err := checkTitle(e.Title); err != nil {
		return err
	}
	letter := func(c rune) bool { return c < 'a' || c > 'z' }
	if e.Kind == "" || len(e.Kind) > maxKind || strings.ContainsFunc(e.Kind, letter) {
		return fmt.Errorf("%.40q is no kind of entry: %w", e.Kind, kith.Invalid)
	}
	if len(e.Name) > maxName || strings.ContainsFunc(e.Name, hidden) || strings.ContainsAny(e.Name, `/\`) {
		return fmt.Errorf("%.80q is no name of a file: %w", e.Name, kith.Invalid)
	}
	if e.Size < 0 || e.Size > maxSize || e.Files < 0 || e.Files > maxFiles {
		return fmt.Errorf("entry of %d bytes in %d files: %w", e.Size, e.Files, kith.Invalid)
	}
	if e.Content.IsZero() != e.Withdrawn {
		return fmt.Errorf("entry %.40q names no content, or is withdrawn and names one: %w", e.Title, kith.Invalid)
	}
	return nil
}

func checkTitle(title string) error {
	switch n := utf8.RuneCountInString(title); {
	case strings.TrimSpace(title) == "":
		return fmt.Errorf("a title cannot be empty: %w", kith.Invalid)
	case n > MaxTitle:
		return fmt.Errorf("title %.40q has %d characters, at most %d: %w", title, n, MaxTitle, kith.Invalid)
	case strings.ContainsFunc(title, hidden):
		return fmt.Errorf("title %.80q has a control character or is not UTF-8: %w", title, kith.Invalid)
	}
	return nil
}

// hidden reports characters that make text look like what it is not: controls,
// ends of lines, those that turn the direction of writing, and what is no UTF-8.
func hidden(c rune) bool {
	turns := '\u202a' <= c && c <= '\u202e' || '\u2066' <= c && c <= '\u2069'
	return unicode.IsControl(c) || c == utf8.RuneError || turns || unicode.In(c, unicode.Zl, unicode.Zp)
}

func (r *record) host() kith.ID { return r.entry.Host }

func (r *record) verify() error {
	if !ed25519.Verify(r.host().Key(), append([]byte(r.kind.domain()), r.raw...), r.signature) {
		return fmt.Errorf("library record of %s is not signed by it: %w", r.host().Short(), kith.Denied)
	}
	return nil
}

// newer reports whether r takes the place of old, which may be nil.
func (r *record) newer(old *record) bool {
	if old == nil {
		return true
	}
	return cmp.Or(cmp.Compare(r.entry.Version, old.entry.Version), r.entry.Published.Compare(old.entry.Published), bytes.Compare(r.raw, old.raw)) > 0
}

// counts reports whether the record may be taken now. Where versions end time
// decides, and nothing from the future: its host could not go on above it.
func (r *record) counts(now time.Time) bool {
	return r.entry.Version < MaxVersion || r.entry.Published.Before(now.Add(maxAhead))
}

// expired reports whether it is time to forget the record.
func (r *record) expired(now time.Time) bool {
	return r.entry.Withdrawn && now.Sub(r.entry.Published) >= TombstoneLife
}

// above is the version that takes the place of version.
func above(version uint64) uint64 { return min(version+1, MaxVersion) }

// stamp is when a record is published that takes the place of old, which may be
// nil: later than that, unless its clock was far ahead.
func stamp(now time.Time, old *record) time.Time {
	now = now.UTC().Truncate(time.Millisecond)
	if old != nil && !old.entry.Published.Before(now) && old.entry.Published.Before(now.Add(maxAhead)) {
		return old.entry.Published.Truncate(time.Millisecond).Add(time.Millisecond)
	}
	return now
}

// A mark tells records, or titles, of one host apart.
type mark [8]byte

func markOf(text []byte) mark {
	sum := sha256.Sum256(text)
	return mark(sum[:])
}

const prefixSize = 8 // bytes of a content ID in holdings

func prefixOf(content kith.ContentID) uint64 { return binary.BigEndian.Uint64(content[:]) }

// decode reads a body, which has to be UTF-8.
func decode(raw []byte, into any) error {
	if !utf8.Valid(raw) {
		return fmt.Errorf("it is not UTF-8: %w", kith.Invalid)
	}
	return gossip.DecodeExact(raw, into, bodyFields)
}
