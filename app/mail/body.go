package mail

import (
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kith.alt/kith/app/mail/html"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// Limits of pictures that are shown.
const (
	maxPicture  = 2 << 20  // bytes of one within the text
	maxPictures = 12 << 20 // of all within a text, in base64
	maxThumb    = 8 << 20  // of one among the attachments
	maxInner    = 3        // messages within messages
)

// A body is what a message says.
type body struct {
	Segments []segment
	Other    bool // it has been written as HTML and as text
	AsText   bool // and is shown as text
	Blocked  int  // pictures that are not loaded
	Missing  int  // pictures that are in the message, and cannot be shown
	Cut      bool // it is longer than what is shown
	Files    []attached
	More     []attached // folded
	Inner    []inner
	Size     int // bytes of what is shown
}

// A segment is text, or the address of a frame.
type segment struct {
	Blocks []block
	Frame  string
}

// An attached is a file of a message.
type attached struct {
	Name  string
	Media string
	Size  int64 // bytes, more or less
	Href  string
	Thumb string // where a picture is shown; "" for others
}

// An inner is a message that is attached.
type inner struct {
	From    person
	Subject string
	Href    string
	Body    body
}

// A located is a part with its number (RFC 9051 6.4.5.1).
type located struct {
	part   *message.Part
	number string
}

func (l located) children() (list []located) {
	for i, child := range l.part.Parts {
		number := strconv.Itoa(i + 1)
		if l.number != "" {
			number = l.number + "." + number
		}
		list = append(list, located{child, number})
	}
	return list
}

// name is the number as IMAP has it: that of a message's only part is 1.
func (l located) name() string { return cmp.Or(l.number, "1") }

// A bodyReader reads what a message says.
type bodyReader struct {
	mail   *mail
	path   string // where its parts are
	bytes  io.ReadSeeker
	asText bool
	body   *body
	shown  []string // Content-IDs of pictures in frames
	images map[string]located
}

// body reads what a message says: as HTML, unless there is none or text is wanted.
func (m *mail) body(ctx context.Context, item mailbox.Item, parsed *message.Message, asText bool) (body, error) {
	r, err := m.mailboxes.Open(ctx, item.Blob)
	if err != nil {
		return body{}, err
	}
	defer r.Close()
	return m.bodyOf(r, messagePath(item.Content), located{part: parsed.Root}, asText, 0)
}

func (m *mail) bodyOf(r io.ReadSeeker, path string, root located, asText bool, depth int) (body, error) {
	b := body{AsText: asText}
	reader := &bodyReader{mail: m, path: path, bytes: r, asText: asText, body: &b, images: images(root)}
	var files []located
	for _, l := range reader.choose(root, &files) {
		if err := reader.read(l); err != nil {
			return b, err
		}
	}
	for _, l := range files {
		if l.part.Message != nil && depth < maxInner && len(b.Inner) < maxInner {
			one := inner{Subject: clip(l.part.Envelope.Subject, 300), Href: reader.file(l).Href, From: person{Name: "Somebody"}}
			if from := l.part.Envelope.From; len(from) > 0 {
				one.From = personOf(from[0])
			}
			var err error
			if one.Body, err = m.bodyOf(r, path, located{l.part.Message, l.number}, asText, depth+1); err != nil {
				return b, err
			}
			b.Size += one.Body.Size
			b.Inner = append(b.Inner, one)
		}
		if id := contentID(l.part); id != "" && slices.Contains(reader.shown, id) && l.part.Disposition != "attachment" {
			continue // it is in the text
		}
		b.Files = append(b.Files, reader.file(l))
	}
	if len(b.Files) > maxFiles {
		b.Files, b.More = b.Files[:maxFiles], b.Files[maxFiles:]
	}
	return b, nil
}

// choose returns the parts to show, in their order; the rest are files.
func (b *bodyReader) choose(l located, files *[]located) []located {
	p := l.part
	switch {
	case p.Multipart() && p.Subtype == "alternative":
		children := l.children()
		chosen := b.best(children)
		var list []located
		for i, child := range children {
			switch {
			case i == chosen:
				list = b.choose(child, files)
			case readable(child.part):
				b.body.Other = true
			default:
				*files = append(*files, child)
			}
		}
		return list
	case p.Multipart():
		var list []located
		for _, child := range l.children() {
			list = append(list, b.choose(child, files)...)
		}
		return list
	case p.Message == nil && p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html") && p.Disposition != "attachment" && p.Filename() == "":
		return []located{l}
	}
	*files = append(*files, l)
	return nil
}

// best returns which one of several that say the same is shown, -1 for none: the last, as it says the most (RFC 2046 5.1.4), or the
// first that is plain text.
func (b *bodyReader) best(children []located) int {
	best := -1
	for i, child := range children {
		plain := child.part.Media() == "text/plain"
		switch {
		case !readable(child.part):
		case best < 0, !b.asText && !plain, b.asText && plain && children[best].part.Media() != "text/plain":
			best = i
		}
	}
	return best
}

// readable reports whether a part is text to be read, or holds such.
func readable(p *message.Part) bool {
	if p.Multipart() {
		return slices.ContainsFunc(p.Parts, readable)
	}
	return p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html")
}

func (b *bodyReader) read(l located) error {
	limit := maxTextShown
	if l.part.Subtype == "html" {
		limit = html.MaxInput
	}
	text, cut, err := b.text(l.part, limit)
	if err != nil {
		return err
	}
	b.body.Cut = b.body.Cut || cut
	b.body.Size += len(text)
	if l.part.Subtype != "html" {
		if strings.EqualFold(l.part.Params["format"], "flowed") {
			text = unflow(text, strings.EqualFold(l.part.Params["delsp"], "yes"))
		}
		if blocks := fold(text); len(blocks) > 0 {
			b.body.Segments = append(b.body.Segments, segment{Blocks: blocks})
		}
		return nil
	}
	if b.asText {
		if blocks := fold(squeeze(message.Strip(text))); len(blocks) > 0 {
			b.body.Segments = append(b.body.Segments, segment{Blocks: blocks})
		}
		b.body.Other = true
		return nil
	}
	clean := b.mail.cleaner.Clean(text, func(id string) (string, bool) {
		_, ok := b.images[id]
		if ok {
			b.shown = append(b.shown, id)
		}
		return "data:image/gif;base64,R0lG", ok // nobody sees this one
	})
	b.body.Blocked += clean.Blocked
	b.body.Missing += clean.Missing
	b.body.Other = true
	b.body.Segments = append(b.body.Segments, segment{Frame: b.path + "/html?part=" + l.name()})
	return nil
}

// text reads a text part.
func (b *bodyReader) text(p *message.Part, limit int) (string, bool, error) {
	section, err := sectionOf(b.bytes, p)
	if err != nil {
		return "", false, err
	}
	text, cut, err := p.Read(section, limit)
	return strings.ReplaceAll(text, "\x00", " "), cut, err
}

// sectionOf returns the bytes of a part's body.
func sectionOf(r io.ReadSeeker, p *message.Part) (io.Reader, error) {
	_, err := r.Seek(p.Body, io.SeekStart)
	return io.LimitReader(r, p.End-p.Body), err
}

// squeeze leaves out blank lines that tags have left.
func squeeze(text string) string {
	var b strings.Builder
	blank := 0
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			blank++
			continue
		}
		if blank > 1 && b.Len() > 0 {
			b.WriteByte('\n')
		}
		blank = 0
		b.WriteString(line + "\n")
	}
	return b.String()
}

// images returns the pictures of a message that its text may show, by Content-ID.
func images(l located) map[string]located {
	found := make(map[string]located)
	var walk func(l located)
	walk = func(l located) {
		for _, child := range l.children() {
			walk(child)
		}
		if id := contentID(l.part); id != "" && safePicture(l.part.Media()) && l.part.End-l.part.Body <= maxPicture*4/3+maxPicture/10 {
			if _, twice := found[id]; !twice {
				found[id] = l
			}
		}
	}
	walk(l)
	return found
}

func contentID(p *message.Part) string { return strings.Trim(p.ID, "<> ") }

// safePicture reports whether a browser shows a type without running or loading anything.
func safePicture(media string) bool {
	return slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, media)
}

// A gallery gives the pictures of a message to its text.
type gallery struct {
	ctx   context.Context // of the reader
	bytes io.ReadSeeker
	parts map[string]located // by Content-ID
	left  int                // bytes of pictures that the text may still hold
	drawn map[string]string  // by Content-ID; "" for what cannot be shown
}

// draw returns a picture as an address, each time that the text has it; false where it is not what it says, or too
// large.
func (g *gallery) draw(id string) (string, bool) {
	l, ok := g.parts[id]
	if !ok || g.ctx.Err() != nil {
		return "", false
	}
	drawn, known := g.drawn[id]
	if !known {
		drawn = dataURL(g.bytes, l.part)
	}
	if len(drawn) > g.left {
		drawn = ""
	}
	g.left -= len(drawn)
	g.drawn[id] = drawn
	return drawn, drawn != ""
}

// dataURL returns a picture as an address, or "".
func dataURL(r io.ReadSeeker, p *message.Part) string {
	section, err := sectionOf(r, p)
	if err != nil {
		return ""
	}
	content, err := p.Content(section)
	if err != nil {
		return ""
	}
	raw, _ := io.ReadAll(io.LimitReader(content, maxPicture+1)) // what came before an error
	if len(raw) > maxPicture || http.DetectContentType(raw) != p.Media() {
		return ""
	}
	return "data:" + p.Media() + ";base64," + base64.StdEncoding.EncodeToString(raw)
}

// file describes an attachment.
func (b *bodyReader) file(l located) attached {
	p := l.part
	f := attached{Name: fileName(p), Media: p.Media(), Size: p.End - p.Body, Href: b.path + "/part/" + l.name()}
	if p.Encoding == "base64" {
		f.Size = f.Size * 57 / 78 // lines of 76 characters
	}
	if safePicture(f.Media) && f.Size <= maxThumb {
		f.Thumb = f.Href + "?show=1"
	}
	return f
}

// fileName is what a part's file is called here: a name without folders and without signs that hide what it is.
func fileName(p *message.Part) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, p.Filename())
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Trim(name, " .")
	const most = 150
	if ext := path.Ext(name); len(name) > most && len(ext) < 20 {
		name = strings.ToValidUTF8(name[:most-len(ext)], "") + ext
	} else if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	switch {
	case name != "":
		return name
	case p.Message != nil:
		return "message.eml"
	case safePicture(p.Media()):
		return "picture." + p.Subtype
	case p.Media() == "text/html":
		return "page.html"
	case p.Media() == "text/calendar":
		return "calendar.ics"
	case p.Type == "text" || p.Type == "message":
		return p.Subtype + ".txt"
	case p.Media() == "application/pdf":
		return "document.pdf"
	}
	return "file"
}
