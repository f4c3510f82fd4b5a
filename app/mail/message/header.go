package message

import (
	"bytes"
	"io"
	"mime"
	netmail "net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
)

// A Header is the fields of a header, in their order.
type Header []Field

// A Field is one of them, unfolded; its bytes are as they came.
type Field struct{ Name, Value string }

// ParseHeader reads the fields of a header. Lines that are none are left out.
func ParseHeader(raw []byte) Header {
	var header Header
	var value []byte // of the last field
	kept := false    // the line before, which a folded one goes on
	end := func() {
		if kept {
			header[len(header)-1].Value = string(bytes.TrimSpace(value))
		}
	}
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			value = append(value, line...)
			continue
		}
		end()
		name, first, ok := bytes.Cut(line, []byte(":"))
		name = bytes.TrimRight(name, " \t")
		if kept = ok && len(name) > 0 && !bytes.ContainsAny(name, " \t") && len(header) < MaxFields; kept {
			header, value = append(header, Field{Name: string(name)}), append(value[:0], first...)
		}
	}
	end()
	return header
}

// Get returns the first field of a name, in any case of letters, as it came.
func (h Header) Get(name string) string {
	for _, field := range h {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

// Text returns the first field of a name, decoded.
func (h Header) Text(name string) string { return Decode(h.Get(name)) }

var words = mime.WordDecoder{CharsetReader: charset.Reader}

// Decode returns the text of a field: encoded words (RFC 2047) are decoded, bytes
// that are no UTF-8 are taken for Windows-1252, control characters become spaces.
func Decode(value string) string {
	value = guess(value)
	if strings.Contains(value, "=?") {
		if decoded, err := words.DecodeHeader(value); err == nil {
			value = decoded
		}
	}
	return clean(value)
}

// guess makes UTF-8 of what is none.
func guess(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	if decoded, err := charmap.Windows1252.NewDecoder().String(text); err == nil {
		return decoded
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// clean returns a text of one line, cut to maxValue.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	for len(text) > maxValue {
		text = strings.ToValidUTF8(text[:maxValue], "")
	}
	return text
}

// envelope returns what FETCH ENVELOPE tells of a header.
func (h Header) envelope() imap.Envelope {
	return imap.Envelope{
		Date: h.date(), Subject: h.Text("Subject"),
		From: h.addresses("From"), Sender: h.addresses("Sender"), ReplyTo: h.addresses("Reply-To"),
		To: h.addresses("To"), Cc: h.addresses("Cc"), Bcc: h.addresses("Bcc"),
		InReplyTo: h.messageIDs("In-Reply-To"), MessageID: h.MessageID(),
	}
}

// MessageID returns what is in Message-ID, without angle brackets; "" where there is none.
func (h Header) MessageID() string {
	if ids := h.messageIDs("Message-ID"); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

func (h Header) date() time.Time {
	date, err := netmail.ParseDate(clean(guess(h.Get("Date"))))
	if err != nil || date.Year() < 1900 || date.Year() > 9999 {
		return time.Time{}
	}
	return date
}

var idPattern = regexp.MustCompile(`<([^<>\s]{1,990})>`)

// messageIDs returns the IDs of a field, without their angle brackets, at most 100.
func (h Header) messageIDs(name string) (ids []string) {
	for _, match := range idPattern.FindAllStringSubmatch(clean(guess(h.Get(name))), 100) {
		ids = append(ids, match[1])
	}
	return ids
}

var addressParser = netmail.AddressParser{WordDecoder: &words}

// addresses reads a list of addresses: of a broken one what can be read.
func (h Header) addresses(name string) (list []imap.Address) {
	for _, field := range h {
		if !strings.EqualFold(field.Name, name) || strings.TrimSpace(field.Value) == "" {
			continue
		}
		value := guess(field.Value)
		parsed, err := addressParser.ParseList(value)
		if err != nil {
			parsed = salvage(value)
		}
		for _, address := range parsed {
			mailbox, host, ok := cutLast(address.Address, "@")
			if !ok || len(list) >= maxAddresses {
				continue
			}
			list = append(list, imap.Address{Name: clean(address.Name), Mailbox: clean(mailbox), Host: clean(host)})
		}
	}
	return list
}

// List reads a field that has to be a list of addresses as RFC 5322 3.4 has it.
func (h Header) List(name string) ([]*netmail.Address, error) {
	return addressParser.ParseList(guess(h.Get(name)))
}

var addressPattern = regexp.MustCompile(`[^\s<>,;:"()]+@[^\s<>,;:"()]+`)

// salvage returns the addresses of a list that is not as RFC 5322 has it.
func salvage(value string) (list []*netmail.Address) {
	for _, piece := range strings.SplitN(value, ",", maxAddresses) {
		if address, err := addressParser.Parse(piece); err == nil {
			list = append(list, address)
			continue
		}
		if found := addressPattern.FindStringIndex(piece); found != nil {
			name := strings.Trim(Decode(piece[:found[0]]), ` "<`)
			list = append(list, &netmail.Address{Name: name, Address: piece[found[0]:found[1]]})
		}
	}
	return list
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// media reads a field such as Content-Type: a value in lower case and parameters.
func media(value string) (string, map[string]string) {
	if value == "" {
		return "", nil
	}
	name, params, err := mime.ParseMediaType(guess(value))
	if err != nil {
		// The value may be good where a parameter is not, and a boundary is needed.
		name, _, _ = strings.Cut(value, ";")
		name = strings.ToLower(strings.TrimSpace(guess(name)))
		if match := boundaryPattern.FindStringSubmatch(value); match != nil && params == nil {
			params = map[string]string{"boundary": match[1] + match[2]}
		}
	}
	for key, param := range params {
		if len(params) > maxParams {
			if key != "boundary" {
				delete(params, key)
			}
			continue
		}
		if key != "boundary" {
			params[key] = Decode(param)
		} else if strings.ContainsFunc(param, unicode.IsControl) { // parts nothing
			delete(params, key)
		}
	}
	return clean(name), params
}

var boundaryPattern = regexp.MustCompile(`(?i);\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))`)

// describe fills in what a part's header says of it.
func (p *Part) describe(h Header, inherited string) {
	kind, params := media(h.Get("Content-Type"))
	p.Type, p.Subtype, _ = strings.Cut(kind, "/")
	if !token(p.Type) || !token(p.Subtype) {
		p.Type, p.Subtype, _ = strings.Cut(inherited, "/")
		params = nil
	}
	p.Params = params
	p.Encoding = strings.ToLower(clean(guess(h.Get("Content-Transfer-Encoding"))))
	if !token(p.Encoding) {
		p.Encoding = "7bit"
	}
	p.ID, p.Description = clean(guess(h.Get("Content-ID"))), h.Text("Content-Description")
	if p.Disposition, p.DispositionArgs = media(h.Get("Content-Disposition")); !token(p.Disposition) {
		p.Disposition, p.DispositionArgs = "", nil
	}
	for language := range strings.SplitSeq(clean(guess(h.Get("Content-Language"))), ",") {
		if language = strings.TrimSpace(language); language != "" && len(p.Language) < 10 {
			p.Language = append(p.Language, language)
		}
	}
	p.Location = clean(guess(h.Get("Content-Location")))
}

// token reports whether text is one as RFC 2045 5.1 has it.
func token(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return text != "" && len(text) <= 100
}

// ReadHeader reads the header of a message, at most maxHeader bytes of it.
func ReadHeader(r io.Reader) (Header, error) {
	lines := newLines(r)
	raw, _, err := lines.header(nil)
	return ParseHeader(raw), err
}
