package delivery

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
)

// readHeader reads the lines of a header without the empty one at its end. A line that is none ends it, too: it is
// returned as the beginning of the rest.
func readHeader(r *bufio.Reader) (raw, rest []byte, err error) {
	for {
		text, err := r.ReadSlice('\n')
		line := bytes.Clone(text)
		for errors.Is(err, bufio.ErrBufferFull) && len(raw)+len(line) <= maxHeader {
			text, err = r.ReadSlice('\n')
			line = append(line, text...)
		}
		switch {
		case len(raw)+len(line) > maxHeader:
			return nil, nil, address.Refuse("5.3.4", kith.Invalid, "the header of a message has at most %d KiB", maxHeader>>10)
		case err != nil && err != io.EOF:
			return nil, nil, err
		case len(line) == 0 || string(line) == "\r\n":
			return raw, nil, nil
		case !isField(line, len(raw) > 0):
			return raw, line, nil
		}
		if err == io.EOF {
			line = append(line, "\r\n"...)
		}
		raw = append(raw, line...)
	}
}

// isField reports whether a line is a header field, or more of the one before.
func isField(line []byte, more bool) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return more
	}
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return ok && len(name) > 0
}

// fields yields the names and the lines of a header's fields.
func fields(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(name string, lines []byte) bool) {
		for len(raw) > 0 {
			end := 0
			for line := range bytes.Lines(raw) {
				if end > 0 && line[0] != ' ' && line[0] != '\t' {
					break
				}
				end += len(line)
			}
			name, _, _ := bytes.Cut(raw[:end], []byte(":"))
			if !yield(string(bytes.TrimSpace(name)), raw[:end]) {
				return
			}
			raw = raw[end:]
		}
	}
}

// without returns the lines of a header but for those of some fields.
func without(raw []byte, names ...string) []byte {
	kept := make([]byte, 0, len(raw))
	for name, lines := range fields(raw) {
		if !slices.ContainsFunc(names, func(unwanted string) bool { return strings.EqualFold(name, unwanted) }) {
			kept = append(kept, lines...)
		}
	}
	return kept
}

// value returns the value of the first field of a name, with its folds and the end of its line.
func value(raw []byte, name string) []byte {
	for other, lines := range fields(raw) {
		if strings.EqualFold(other, name) {
			_, text, _ := bytes.Cut(lines, []byte(":"))
			return bytes.TrimLeft(text, " \t")
		}
	}
	return nil
}
