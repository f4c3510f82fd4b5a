package message

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// Parse reads a message to its end.
func Parse(r io.Reader) (*Message, error) {
	p := parser{lines: newLines(r)}
	root, header, err := p.message(nil, 0)
	if err != nil {
		return nil, err
	}
	root.within(p.lines.at)
	return &Message{
		Size: p.lines.at, Envelope: header.envelope(), References: header.messageIDs("References"), Root: root,
	}, nil
}

// A boundary separates the parts of a multipart: "--" and its text.
type boundary []byte

// An ending is the line that ended a part: a boundary of one of the multiparts
// around it, or the message's end.
type ending struct {
	level int  // of the boundary, the outermost is 0; -1 at the message's end
	last  bool // the one after the last part
}

type parser struct {
	lines *lines
	parts int
}

// message reads a header and a body, as the message itself and a message within it have them.
func (p *parser) message(around []boundary, depth int) (*Part, Header, error) {
	part, header, _, err := p.part(around, depth, "text/plain")
	return part, header, err
}

// part reads one part up to the line that ends it.
func (p *parser) part(around []boundary, depth int, inherited string) (*Part, Header, ending, error) {
	p.parts++
	part := &Part{Header: p.lines.at}
	raw, end, err := p.lines.header(around)
	if err != nil {
		return nil, nil, ending{}, err
	}
	header := ParseHeader(raw)
	part.describe(header, inherited)
	part.Body = p.lines.at
	if end != nil { // the header was all there is
		part.End = p.lines.contentEnd(part.Header)
		part.Body = part.End
		return part.settled(), header, *end, nil
	}
	ended, err := p.body(part, around, depth)
	return part.settled(), header, ended, err
}

// within has a part and those in it end where what is around them ends: the end of a
// line may belong to the boundary of several.
func (p *Part) within(end int64) {
	p.End = min(p.End, end)
	p.Body = min(p.Body, p.End)
	p.Header = min(p.Header, p.Body)
	for _, child := range p.Parts {
		child.within(p.End)
	}
	if p.Message != nil {
		p.Message.within(p.End)
	}
}

// settled returns the part as what it turned out to be: a multipart without parts is
// text.
func (p *Part) settled() *Part {
	if p.Type == "multipart" && !p.Multipart() {
		p.Type, p.Subtype, p.Params = "text", "plain", nil
	}
	return p
}

func (p *parser) body(part *Part, around []boundary, depth int) (end ending, err error) {
	text := part.Params["boundary"]
	deeper := depth < maxDepth && p.parts < maxParts
	identity := part.Encoding == "7bit" || part.Encoding == "8bit" || part.Encoding == "binary"
	start := p.lines.count
	switch {
	case part.Type == "multipart" && text != "" && len(text) <= 200 && deeper:
		end, err = p.multipart(part, append(around[:len(around):len(around)], boundary("--"+text)), depth)
	case (part.Media() == "message/rfc822" || part.Media() == "message/global") && identity && deeper:
		var inner *Part
		var header Header
		if inner, header, end, err = p.part(around, depth+1, "text/plain"); err == nil {
			envelope := header.envelope()
			part.Message, part.Envelope = inner, &envelope
		}
	default:
		end, err = p.lines.skip(around)
	}
	if err != nil {
		return end, err
	}
	part.End = p.lines.contentEnd(part.Header)
	part.Lines = p.lines.count - start
	if end.level >= 0 && p.lines.ended > 0 && part.Lines > 0 {
		part.Lines-- // that of the boundary
	}
	return end, nil
}

// multipart reads the parts between the innermost boundary of around.
func (p *parser) multipart(part *Part, around []boundary, depth int) (ending, error) {
	own := len(around) - 1
	inherited := "text/plain"
	if part.Subtype == "digest" {
		inherited = "message/rfc822"
	}
	end, err := p.lines.skip(around) // the preamble
	for err == nil && end.level == own && !end.last {
		if p.parts >= maxParts {
			return p.lines.skip(around[:own])
		}
		var child *Part
		if child, _, end, err = p.part(around, depth+1, inherited); err == nil {
			part.Parts = append(part.Parts, child)
		}
	}
	if err == nil && end.level == own { // the epilogue
		end, err = p.lines.skip(around[:own])
	}
	return end, err
}

// lines reads a message line by line, with bounded memory.
type lines struct {
	r      *bufio.Reader
	at     int64 // offset of what comes next
	count  int64 // of lines so far
	before int64 // offset of the line that was read last
	feed   int64 // how long the end of the line before that was: 0, 1 or 2 bytes
	ended  int64 // how long that of the last line was

	headers int64 // bytes of them so far
}

// longLine is how much of a line is looked at.
const longLine = 8 << 10

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, longLine)} }

// next returns the next line, or its beginning where it is longer than longLine.
func (l *lines) next() (line []byte, err error) {
	line, err = l.r.ReadSlice('\n')
	if len(line) == 0 {
		return nil, err // io.EOF
	}
	l.before, l.feed, l.ended = l.at, l.ended, 0
	l.at += int64(len(line))
	tail := line
	if err == bufio.ErrBufferFull {
		kept := bytes.Clone(line)
		tail = nil
		for last := line[len(line)-1]; err == bufio.ErrBufferFull; {
			tail, err = l.r.ReadSlice('\n')
			l.at += int64(len(tail))
			if len(tail) == 1 && tail[0] == '\n' && last == '\r' {
				tail = []byte("\r\n")
			} else if len(tail) > 0 {
				last = tail[len(tail)-1]
			}
		}
		line = kept
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.HasSuffix(tail, []byte("\n")) {
		l.count++
		l.ended = 1
		if bytes.HasSuffix(tail, []byte("\r\n")) {
			l.ended = 2
		}
	}
	return line, nil
}

// contentEnd returns where what began at start ends, when a line has ended it: the
// end of the line before a boundary belongs to the boundary (RFC 2046 5.1.1).
func (l *lines) contentEnd(start int64) int64 { return max(start, l.before-l.feed) }

// finish makes the end of the message look like a boundary.
func (l *lines) finish() ending {
	l.before, l.feed = l.at, 0
	return ending{level: -1}
}

// skip reads up to a boundary or to the end.
func (l *lines) skip(around []boundary) (ending, error) {
	for {
		line, err := l.next()
		if err == io.EOF {
			return l.finish(), nil
		}
		if err != nil {
			return ending{}, err
		}
		if end := match(line, around); end != nil {
			return *end, nil
		}
	}
}

// header reads up to the empty line, which ends a header, or to a boundary or the
// message's end. What is over maxHeader is not returned.
func (l *lines) header(around []boundary) (raw []byte, end *ending, err error) {
	for {
		line, err := l.next()
		if err == io.EOF {
			finished := l.finish()
			return raw, &finished, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if end := match(line, around); end != nil {
			return raw, end, nil
		}
		if line[0] == '\n' || string(line) == "\r\n" {
			return raw, nil, nil
		}
		if l.headers += int64(len(line)); len(raw)+len(line) <= maxHeader && l.headers <= maxHeaders {
			if raw = append(raw, line...); line[len(line)-1] != '\n' {
				raw = append(raw, '\n')
			}
		}
	}
}

// match returns what a line ends: the outermost of the boundaries that it can be.
func match(line []byte, around []boundary) *ending {
	if len(around) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return nil
	}
	for level, b := range around {
		rest, ok := bytes.CutPrefix(line, b)
		if !ok {
			continue
		}
		last := bytes.HasPrefix(rest, []byte("--"))
		if last {
			rest = rest[2:]
		}
		if strings.Trim(string(rest), " \t\r\n") == "" {
			return &ending{level, last}
		}
	}
	return nil
}
