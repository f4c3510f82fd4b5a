package bittorrent

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestBencodingIsCanonical(t *testing.T) {
	for _, in := range []string{
		"i0e", "i-1e", "i9223372036854775807e", "0:", "3:abc", "10:0123456789", "le", "de", "lli1ee0:e", "d0:i1e1:ai2e2:aai3ee", "d1:ad1:bleee",
	} {
		if err := decode([]byte(in), (*decoder).skip); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{
		"", "e", "x", "-1:", "i", "ie", "i-e", "i-0e", "i00e", "i01e", "i-01e", "i1", "i1x", "i 1e", "i+1e", "i1.5e", "i9223372036854775808e", "i-9223372036854775808e",
		"i99999999999999999999999999e", "00:", "01:a", "1:", "3:ab", "3", "3x", "99999999999999999999:", "l", "li1e", "d", "d1:a", "d1:ae", "d1:ai1e",
		"di1ei1ee", "d1:bi1e1:ai1ee", "d1:ai1e1:ai1ee", "d2:aai1e1:bi1e2:bai1e2:b", "i1ei1e", "le ", "d0:i1e0:i1ee",
	} {
		if err := decode([]byte(in), (*decoder).skip); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, open := range []string{"l", "d0:"} {
		if err := decode([]byte(strings.Repeat(open, 1<<20)), (*decoder).skip); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
}

func TestIntegers(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 65536, math.MaxInt64, -math.MaxInt64} {
		d := decoder{rest: appendInteger(nil, n)}
		if got, err := d.integer(); got != n || err != nil || d.end() != nil {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
}

// copyValue writes what it reads, by the value.
func copyValue(r *decoder, b []byte) ([]byte, error) {
	var err error
	switch {
	case bytes.HasPrefix(r.rest, []byte("i")):
		n, err := r.integer()
		return appendInteger(b, n), err
	case bytes.HasPrefix(r.rest, []byte("l")):
		b = append(b, 'l')
		err = r.list(func() (err error) { b, err = copyValue(r, b); return err })
		return append(b, 'e'), err
	case bytes.HasPrefix(r.rest, []byte("d")):
		b = append(b, 'd')
		err = r.dictionary(func(key []byte) (err error) { b, err = copyValue(r, appendText(b, key)); return err })
		return append(b, 'e'), err
	default:
		text, err := r.text()
		return appendText(b, text), err
	}
}

// FuzzBencoding holds the decoder to its word: what it accepts, it has one form
// for.
func FuzzBencoding(f *testing.F) {
	for _, in := range []string{"i-1e", "3:abc", "lli1ee0:e", "d0:i1e1:ai2e2:aai3ee", "i00e", "d1:bi1e1:ai1ee"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out []byte
		err := decode(in, func(r *decoder) (err error) { out, err = copyValue(r, nil); return err })
		if skipped := decode(in, (*decoder).skip); (skipped == nil) != (err == nil) {
			t.Fatalf("read %v, passed over %v", err, skipped)
		}
		if err == nil && !bytes.Equal(in, out) {
			t.Fatalf("%q is %q", in, out)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	})
}
