package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/emersion/go-message/charset"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// ErrEncoding means that the content of a part is in an encoding that nobody knows.
var ErrEncoding = errors.New("encoding of the content is unknown")

// Content returns the content of a part, decoded (RFC 2045 6), given the body's bytes. It fails
// with [ErrEncoding]. What is malformed ends the content early.
func (p *Part) Content(body io.Reader) (io.Reader, error) {
	switch p.Encoding {
	case "7bit", "8bit", "binary", "":
		return body, nil
	case "quoted-printable":
		return quotedprintable.NewReader(body), nil
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, &base64Text{body}), nil
	}
	return nil, fmt.Errorf("%.40q: %w", p.Encoding, ErrEncoding)
}

// base64Text leaves out what is not of base64's alphabet (RFC 2045 6.8).
type base64Text struct{ r io.Reader }

func (b *base64Text) Read(p []byte) (int, error) {
	for {
		n, err := b.r.Read(p)
		kept := p[:0]
		for _, c := range p[:n] {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' {
				kept = append(kept, c)
			}
		}
		if len(kept) > 0 || err != nil {
			return len(kept), err
		}
	}
}

// Text returns the words of a message for a search: those of its text parts, HTML without its tags, at most
// limit bytes. What cannot be read is left out; only an error of the reader is an error.
func (m *Message) Text(r io.ReaderAt, limit int) (string, error) {
	var out strings.Builder
	var walk func(p *Part) error
	walk = func(p *Part) error {
		for _, child := range p.Parts {
			if err := walk(child); err != nil {
				return err
			}
		}
		if p.Message != nil {
			out.WriteString(p.Envelope.Subject + "\n")
			return walk(p.Message)
		}
		if p.Multipart() || p.Type != "text" || p.Disposition == "attachment" || out.Len() >= limit {
			return nil
		}
		text, err := p.text(r, limit-out.Len())
		out.WriteString(text + "\n")
		return err
	}
	err := walk(m.Root)
	text := out.String()
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text, err
}

// text returns the words of a text part.
func (p *Part) text(r io.ReaderAt, limit int) (string, error) {
	// HTML has more tags than words.
	text, _, err := p.Read(io.NewSectionReader(r, p.Body, p.End-p.Body), 4*limit)
	if p.Subtype == "html" {
		text = Strip(text)
	}
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, " "), err
}

// Read returns the text of a text part, HTML with its tags, given the body's bytes: decoded, in UTF-8, of at most limit bytes of
// content, and whether it goes on after them. What cannot be read is left out; only an error of the reader is an error.
func (p *Part) Read(body io.Reader, limit int) (text string, cut bool, err error) {
	raw, err := io.ReadAll(io.LimitReader(body, 4*int64(limit)))
	if err != nil {
		return "", false, err
	}
	content, err := p.Content(bytes.NewReader(raw))
	if err != nil {
		return "", false, nil
	}
	decoded, _ := io.ReadAll(io.LimitReader(content, int64(limit)+1)) // what came before an error
	if cut = len(decoded) > limit; cut {
		decoded = decoded[:limit]
	}
	return strings.ToValidUTF8(toUTF8(decoded, p.Params["charset"]), "\ufffd"), cut, nil
}

func toUTF8(raw []byte, name string) string {
	if name != "" && !strings.EqualFold(name, "utf-8") && !strings.EqualFold(name, "us-ascii") {
		if r, err := charset.Reader(name, bytes.NewReader(raw)); err == nil {
			if text, err := io.ReadAll(r); err == nil {
				return string(text)
			}
		}
	}
	return guess(string(raw))
}

// Strip returns the text of a page.
func Strip(page string) string {
	var out strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(page))
	hidden := 0 // how deep in what nobody sees
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return out.String()
		case html.TextToken:
			if hidden == 0 {
				out.Write(tokens.Text())
			}
		case html.StartTagToken:
			name, _ := tokens.TagName()
			if a := atom.Lookup(name); a == atom.Script || a == atom.Style {
				hidden++
			} else if !inline(a) {
				out.WriteByte('\n')
			}
		case html.EndTagToken:
			name, _ := tokens.TagName()
			if a := atom.Lookup(name); (a == atom.Script || a == atom.Style) && hidden > 0 {
				hidden--
			} else if !inline(a) {
				out.WriteByte('\n')
			}
		}
	}
}

// inline reports whether words go on across a tag.
func inline(a atom.Atom) bool {
	switch a {
	case atom.A, atom.B, atom.I, atom.U, atom.Em, atom.Strong, atom.Span, atom.Font, atom.Small, atom.Big, atom.Sub, atom.Sup, atom.Tt, atom.Code:
		return true
	}
	return false
}
