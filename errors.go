package kith

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Kind is what went wrong, as far as a caller can act on it. Kinds are
// errors: code wraps one with context,
//
//	return fmt.Errorf("no member is called %s: %w", name, kith.NotFound)
//
// and callers branch with errors.Is(err, kith.NotFound). Each protocol turns
// kinds into its own codes at one place; an error without a kind is
// temporary to strangers and logged in full at home.
type Kind string

const (
	Invalid     Kind = "invalid"           // the input can never work: do not try again unchanged
	NotFound    Kind = "not found"         // what was named does not exist
	Exists      Kind = "exists already"    // what was to be made exists
	Denied      Kind = "not allowed"       // the caller is known and may not
	NotMember   Kind = "not a member"      // the peer is not, or no longer, in the group
	Refused     Kind = "nobody listens"    // the host answered: no process has that port
	Unreachable Kind = "no path"           // the host did not answer on any path
	InUse       Kind = "in use"            // another process holds the port or file
	Expired     Kind = "expired"           // it was valid, and is not any longer
	Quota       Kind = "limit reached"     // a stated limit in size, count or rate
	Temporary   Kind = "temporary failure" // the same call may succeed later
)

// Error returns the kind in words that end a sentence.
func (k Kind) Error() string { return string(k) }

// Sentence puts an error into words for a page that people read: it begins with
// a capital and ends with a full stop. The text of the kind that ends it is
// left out, as what is before it says why; it stays where it is all there is.
func Sentence(err error) string {
	text := err.Error()
	var kind Kind
	if errors.As(err, &kind) {
		text = strings.TrimSuffix(text, ": "+kind.Error())
	}
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	if first != utf8.RuneError {
		text = string(unicode.ToUpper(first)) + text[size:]
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
