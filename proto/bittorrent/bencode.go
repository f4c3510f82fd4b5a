package bittorrent

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// maxDepth is how deep lists and dictionaries may stand in each other. A file
// tree takes one for each folder.
const maxDepth = maxFolders + 8

// A decoder reads bencoding (BEP 3) front to back, canonical form only: keys rise,
// numbers have no leading zeros. It keeps nothing but its place, so memory does
// not grow with what is read.
type decoder struct {
	rest  []byte
	depth int
}

// decode reads text with value, and fails if more follows.
func decode(text []byte, value func(*decoder) error) error {
	d := &decoder{rest: text}
	if err := value(d); err != nil {
		return err
	}
	return d.end()
}

func (d *decoder) end() error {
	if len(d.rest) > 0 {
		return fmt.Errorf("%d bytes after the end: %w", len(d.rest), ErrInvalid)
	}
	return nil
}

// next takes the byte c if it comes next.
func (d *decoder) next(c byte) bool {
	if len(d.rest) == 0 || d.rest[0] != c {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

// expected is the error for something else where what was looked for.
func (d *decoder) expected(what string) error {
	if len(d.rest) == 0 {
		return fmt.Errorf("ends where %s should be: %w", what, ErrInvalid)
	}
	return fmt.Errorf("%q where %s should be: %w", d.rest[0], what, ErrInvalid)
}

// number reads digits up to end.
func (d *decoder) number(what string, end byte) (uint64, error) {
	digits := 0
	for digits < len(d.rest) && d.rest[digits] >= '0' && d.rest[digits] <= '9' {
		digits++
	}
	text := d.rest[:digits]
	d.rest = d.rest[digits:]
	if digits == 0 {
		return 0, d.expected(what)
	}
	if digits > 1 && text[0] == '0' {
		return 0, fmt.Errorf("number %.20s begins with zero: %w", text, ErrInvalid)
	}
	n, err := strconv.ParseUint(string(text[:min(digits, 20)]), 10, 63)
	if err != nil || digits > 19 {
		return 0, fmt.Errorf("number %.20s is too large: %w", text, ErrInvalid)
	}
	if !d.next(end) {
		return 0, d.expected(fmt.Sprintf("%q", end))
	}
	return n, nil
}

// integer reads an integer; those beyond 63 bits are refused.
func (d *decoder) integer() (int64, error) {
	if !d.next('i') {
		return 0, d.expected("a number")
	}
	negative := d.next('-')
	n, err := d.number("a number", 'e')
	if err != nil {
		return 0, err
	}
	if negative {
		if n == 0 {
			return 0, fmt.Errorf("number -0: %w", ErrInvalid)
		}
		return -int64(n), nil
	}
	return int64(n), nil
}

// within reads an integer from least to most.
func (d *decoder) within(least, most int64) (int64, error) {
	n, err := d.integer()
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%d is not between %d and %d: %w", n, least, most, ErrInvalid)
	}
	return n, err
}

// text reads a string, which is not copied.
func (d *decoder) text() ([]byte, error) {
	n, err := d.number("a string", ':')
	if err != nil {
		return nil, err
	}
	if n > uint64(len(d.rest)) {
		return nil, fmt.Errorf("string of %d bytes where %d are left: %w", n, len(d.rest), ErrInvalid)
	}
	text := d.rest[:n:n]
	d.rest = d.rest[n:]
	return text, nil
}

func (d *decoder) enter() error {
	if d.depth++; d.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d: %w", maxDepth, ErrInvalid)
	}
	return nil
}

// list calls item in front of each value of a list, which item reads.
func (d *decoder) list(item func() error) error {
	if !d.next('l') {
		return d.expected("a list")
	}
	if err := d.enter(); err != nil {
		return err
	}
	for !d.next('e') {
		if err := item(); err != nil {
			return err
		}
	}
	d.depth--
	return nil
}

// dictionary calls entry in front of each value of a dictionary, which entry
// reads.
func (d *decoder) dictionary(entry func(key []byte) error) error {
	if !d.next('d') {
		return d.expected("a dictionary")
	}
	if err := d.enter(); err != nil {
		return err
	}
	var before []byte
	for first := true; !d.next('e'); first = false {
		key, err := d.text()
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		if !first && bytes.Compare(before, key) >= 0 {
			return fmt.Errorf("key %.40q after %.40q: %w", key, before, ErrInvalid)
		}
		before = key
		if err := entry(key); err != nil {
			return err
		}
	}
	d.depth--
	return nil
}

// skip passes over a value.
func (d *decoder) skip() error {
	if len(d.rest) == 0 {
		return d.expected("a value")
	}
	var err error
	switch d.rest[0] {
	case 'i':
		_, err = d.integer()
	case 'l':
		err = d.list(d.skip)
	case 'd':
		err = d.dictionary(func([]byte) error { return d.skip() })
	default:
		_, err = d.text()
	}
	return err
}

// raw passes over a value and returns its bytes, which are not copied.
func (d *decoder) raw() ([]byte, error) {
	all := d.rest
	if err := d.skip(); err != nil {
		return nil, err
	}
	n := len(all) - len(d.rest)
	return all[:n:n], nil
}

// appendWithoutEmptyKeys appends the next value, entries of dictionaries under the
// key "" left out.
func appendWithoutEmptyKeys(b []byte, d *decoder) ([]byte, error) {
	item := func() (err error) {
		b, err = appendWithoutEmptyKeys(b, d)
		return err
	}
	switch {
	case len(d.rest) > 0 && d.rest[0] == 'l':
		b = append(b, 'l')
		err := d.list(item)
		return append(b, 'e'), err
	case len(d.rest) > 0 && d.rest[0] == 'd':
		b = append(b, 'd')
		err := d.dictionary(func(key []byte) error {
			if len(key) == 0 {
				return d.skip()
			}
			b = appendText(b, key)
			return item()
		})
		return append(b, 'e'), err
	default:
		value, err := d.raw()
		return append(b, value...), err
	}
}

func appendInteger(b []byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, 'i'), n, 10), 'e')
}

func appendText[T string | []byte](b []byte, text T) []byte {
	b = append(strconv.AppendInt(b, int64(len(text)), 10), ':')
	return append(b, text...)
}

// Helpers for entries of dictionaries, whose keys the caller writes in order.

func appendIntegerEntry(b []byte, key string, n int64) []byte {
	return appendInteger(appendText(b, key), n)
}

func appendTextEntry[T string | []byte](b []byte, key string, text T) []byte {
	return appendText(appendText(b, key), text)
}

// at says which entry an error is about.
func at[T string | []byte](key T, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%.80s: %w", printable(key), err)
}

// printable is text as it may be shown: quoted where it is not plain.
func printable[T string | []byte](text T) string {
	quoted := strconv.Quote(string(text[:min(len(text), math.MaxUint8)]))
	if plain := quoted[1 : len(quoted)-1]; plain == string(text) && plain != "" {
		return plain
	}
	return quoted
}
