package message

import (
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Limits of what is looked at; the rest of a message is there, but unread.
const (
	maxDepth     = 32        // parts within parts
	maxParts     = 512       // in all
	maxHeader    = 256 << 10 // bytes of the message's header, and of each part's
	maxHeaders   = 384 << 10 // bytes of all headers
	MaxFields    = 1000      // of a header
	maxAddresses = 1000      // of a field
	maxValue     = 4 << 10   // bytes of a text in an envelope or a structure
	maxParams    = 32        // of a field
)

// A Message is what there is to know of a message without showing it.
type Message struct {
	Size       int64 // bytes
	Envelope   imap.Envelope
	References []string // message IDs, the thread's first one first
	Root       *Part
}

// A Part is the message itself or one within it. Offsets are those of the message's
// first byte.
type Part struct {
	Header int64 // where its header begins
	Body   int64 // where its header has ended, after the empty line
	End    int64 // where its body ends
	Lines  int64 // of its body

	Type, Subtype   string // in lower case
	Params          map[string]string
	ID, Description string
	Encoding        string // of its content, in lower case
	Disposition     string // in lower case; "" where it has none
	DispositionArgs map[string]string
	Language        []string
	Location        string

	Parts    []*Part        // of a multipart
	Envelope *imap.Envelope // of the message in it
	Message  *Part          // in it, for message/rfc822
}

// Multipart reports whether the part holds others side by side.
func (p *Part) Multipart() bool { return len(p.Parts) > 0 }

// Media returns the type as "text/plain".
func (p *Part) Media() string { return p.Type + "/" + p.Subtype }

// Filename returns the name that the part's sender gave it, "" for none.
func (p *Part) Filename() string {
	if name := p.DispositionArgs["filename"]; name != "" {
		return name
	}
	return p.Params["name"]
}

// Find returns the part that a section of IMAP names (RFC 9051 6.4.5.1), nil where there is none.
func (p *Part) Find(section []int) *Part {
	for i, n := range section {
		within := p
		switch {
		case i == 0 || p.Multipart():
		case p.Message != nil:
			within = p.Message
		default:
			return nil
		}
		switch {
		case within.Multipart() && n >= 1 && n <= len(within.Parts):
			p = within.Parts[n-1]
		case !within.Multipart() && n == 1: // a message's only part is itself
			p = within
		default:
			return nil
		}
	}
	return p
}

// Structure returns what FETCH BODYSTRUCTURE tells of the part (RFC 9051 7.5.2).
func (p *Part) Structure() imap.BodyStructure {
	var disposition *imap.BodyStructureDisposition
	if p.Disposition != "" {
		disposition = &imap.BodyStructureDisposition{Value: p.Disposition, Params: p.DispositionArgs}
	}
	if p.Multipart() {
		multi := &imap.BodyStructureMultiPart{
			Subtype:  p.Subtype,
			Extended: &imap.BodyStructureMultiPartExt{Params: p.Params, Disposition: disposition, Language: p.Language, Location: p.Location},
		}
		for _, child := range p.Parts {
			multi.Children = append(multi.Children, child.Structure())
		}
		return multi
	}
	single := &imap.BodyStructureSinglePart{
		Type: p.Type, Subtype: p.Subtype, Params: p.Params, ID: p.ID, Description: p.Description, Encoding: p.Encoding,
		Size:     uint32(min(p.End-p.Body, 1<<32-1)),
		Extended: &imap.BodyStructureSinglePartExt{Disposition: disposition, Language: p.Language, Location: p.Location},
	}
	switch {
	case p.Message != nil:
		single.MessageRFC822 = &imap.BodyStructureMessageRFC822{Envelope: p.Envelope, BodyStructure: p.Message.Structure(), NumLines: p.Lines}
	case p.Media() == "message/rfc822" || p.Media() == "message/global": // one that nobody looked into
		single.Type, single.Subtype = "application", "octet-stream"
	case p.Type == "text":
		single.Text = &imap.BodyStructureText{NumLines: p.Lines}
	}
	return single
}

// Attachments returns how many parts are files.
func (p *Part) Attachments() (n int) {
	if !p.Multipart() && (p.Disposition == "attachment" || p.Filename() != "") {
		return 1
	}
	for _, child := range p.Parts {
		n += child.Attachments()
	}
	return n
}

// SentDay returns the day on which the sender says to have sent the message, in UTC and without regard to
// its zone, as IMAP searches for it; the zero time where it does not say.
func (m *Message) SentDay() time.Time {
	date := m.Envelope.Date
	if date.IsZero() {
		return date
	}
	return time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, time.UTC)
}

// Addresses writes a list of addresses as a line of text, to be searched.
func Addresses(list []imap.Address) string {
	var b strings.Builder
	for i, address := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		if address.Name != "" {
			b.WriteString(address.Name + " ")
		}
		b.WriteString("<" + address.Mailbox + "@" + address.Host + ">")
	}
	return b.String()
}
