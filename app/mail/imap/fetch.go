package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

const (
	fetchBatch = 256       // messages that are read at once
	flagsBatch = 2048      // where nothing but their flags is wanted
	maxHeader  = 512 << 10 // bytes of a header in which fields are looked for
	// maxSections that a command may ask for: those of their fields are in memory at once.
	maxSections = 100
)

// A depth is how much of messages is to be read.
type depth int

const (
	flagsOnly depth = iota
	rows
	summaries
)

// each reads the messages of ranges, a batch at a time: nobody waits for a slow client with a
// transaction.
func (s *session) each(ranges []mailbox.Range, deep depth, do func([]mailbox.Message) error) error {
	limit := fetchBatch
	if deep == flagsOnly {
		limit = flagsBatch
	}
	read := func(r mailbox.Range) ([]mailbox.Message, error) {
		if deep == flagsOnly {
			return s.view.Flags(s.ctx, r, limit)
		}
		return s.mail().Messages(s.ctx, s.view.Folder.ID, r, limit, deep == summaries)
	}
	for _, r := range ranges {
		for {
			batch, err := read(r)
			if err != nil {
				return s.failed(err)
			}
			if err := do(batch); err != nil {
				return err
			}
			if len(batch) == 0 || batch[len(batch)-1].UID == r.To || deep != summaries && len(batch) < limit {
				break
			}
			r.From = batch[len(batch)-1].UID + 1
		}
	}
	return nil
}

// Fetch answers what there is to know of messages. Those that others have expunged are left out.
func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, options *imap.FetchOptions) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	sections := len(options.BodySection) + len(options.BinarySection) + len(options.BinarySectionSize)
	if sections > maxSections {
		return no(imap.ResponseCodeLimit, fmt.Sprintf("At most %d sections of a message at once", maxSections))
	}
	content := sections > 0
	seen := false // who reads a message has seen it
	for _, section := range options.BodySection {
		seen = seen || !section.Peek
	}
	for _, section := range options.BinarySection {
		seen = seen || !section.Peek
	}
	deep := flagsOnly
	if content || options.Envelope || options.BodyStructure != nil {
		deep = summaries
	} else if options.InternalDate || options.RFC822Size {
		deep = rows
	}
	return s.each(s.ranges(set), deep, func(batch []mailbox.Message) error {
		marked := map[imap.UID]bool{}
		if seen && !s.readOnly && len(batch) > 0 {
			if marked, err = s.markSeen(batch); err != nil {
				return err
			}
		}
		for i := range batch {
			if s.ctx.Err() != nil {
				return s.failed(s.ctx.Err())
			}
			own := *options
			own.Flags = options.Flags || marked[batch[i].UID]
			if err := s.fetch(w, &batch[i], &own, content); err != nil {
				return err
			}
		}
		return nil
	})
}

// markSeen sets \Seen where it is not set, and returns where.
func (s *session) markSeen(batch []mailbox.Message) (map[imap.UID]bool, error) {
	r := mailbox.Range{From: batch[0].UID, To: batch[len(batch)-1].UID}
	changes, err := s.mail().SetFlags(s.ctx, s.view.Folder.ID, []mailbox.Range{r}, imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen})
	if err != nil {
		return nil, s.failed(err)
	}
	s.view.Knows(changes)
	marked := make(map[imap.UID]bool)
	for _, c := range changes {
		marked[c.UID] = true
	}
	for i := range batch {
		for _, c := range changes {
			if c.UID == batch[i].UID {
				batch[i].Flags = c.Flags
				break
			}
		}
	}
	return marked, nil
}

// fetch answers for one message.
func (s *session) fetch(w *imapserver.FetchWriter, m *mailbox.Message, options *imap.FetchOptions, content bool) error {
	if !content {
		return s.answer(w, m, options, nil)
	}
	blob, err := s.mail().Open(s.ctx, m.Blob)
	if errors.Is(err, kith.NotFound) {
		return nil // expunged just now
	}
	if err != nil {
		return s.failed(err)
	}
	defer blob.Close()
	return s.answer(w, m, options, blob)
}

// A piece is bytes of a message in an answer.
type piece struct {
	size int64
	open func(offset int64) (io.Reader, error)
}

// span is the bytes of a message between two offsets.
func span(blob io.ReadSeeker, from, to int64) piece {
	return piece{max(to-from, 0), func(offset int64) (io.Reader, error) {
		_, err := blob.Seek(from+offset, io.SeekStart)
		return io.LimitReader(blob, to-from-offset), err
	}}
}

func text(b []byte) piece {
	return piece{int64(len(b)), func(offset int64) (io.Reader, error) { return bytes.NewReader(b[offset:]), nil }}
}

// answer writes one FETCH response. What can fail is done before it begins.
func (s *session) answer(w *imapserver.FetchWriter, m *mailbox.Message, options *imap.FetchOptions, blob io.ReadSeeker) error {
	number := s.view.Number(m.UID)
	if number == 0 {
		return nil
	}
	var parsed message.Message
	if options.BodyStructure != nil || blob != nil {
		if err := parsed.UnmarshalBinary(m.Summary); err != nil {
			return s.failed(fmt.Errorf("message %d: %w", m.UID, err))
		}
	} else if options.Envelope {
		if err := parsed.UnmarshalEnvelope(m.Summary); err != nil {
			return s.failed(fmt.Errorf("message %d: %w", m.UID, err))
		}
	}
	var bodies, binaries []piece
	for _, section := range options.BodySection {
		body, err := bodySection(blob, m.Size, parsed.Root, section)
		if err != nil {
			return s.failed(err)
		}
		bodies = append(bodies, body)
	}
	for _, section := range options.BinarySection {
		binary, err := binarySection(blob, m.Size, parsed.Root, section.Part)
		if err != nil {
			return s.failed(err)
		}
		binaries = append(binaries, binary)
	}
	var sizes []int64
	for _, section := range options.BinarySectionSize {
		binary, err := binarySection(blob, m.Size, parsed.Root, section.Part)
		if err != nil {
			return s.failed(err)
		}
		sizes = append(sizes, binary.size)
	}

	out := w.CreateMessage(uint32(number))
	if options.UID {
		out.WriteUID(m.UID)
	}
	if options.Flags {
		out.WriteFlags(m.Flags)
	}
	if options.InternalDate {
		out.WriteInternalDate(m.Received)
	}
	if options.RFC822Size {
		out.WriteRFC822Size(m.Size)
	}
	if options.Envelope {
		out.WriteEnvelope(&parsed.Envelope)
	}
	if options.BodyStructure != nil {
		out.WriteBodyStructure(parsed.Root.Structure())
	}
	for i, section := range options.BodySection {
		part := bodies[i].partial(section.Partial)
		if err := part.write(out.WriteBodySection(section, part.size)); err != nil {
			return s.broken(out, err)
		}
	}
	for i, section := range options.BinarySection {
		part := binaries[i].partial(section.Partial)
		if err := part.write(out.WriteBinarySection(section, part.size)); err != nil {
			return s.broken(out, err)
		}
	}
	for i, section := range options.BinarySectionSize {
		out.WriteBinarySectionSize(section, uint32(min(sizes[i], 1<<32-1)))
	}
	return out.Close()
}

// broken ends a connection in the middle of a literal: there is no way to take it back.
func (s *session) broken(out *imapserver.FetchResponseWriter, err error) error {
	s.conn.NetConn().Close()
	out.Close()
	return err
}

// partial returns what is asked for of a piece.
func (p piece) partial(partial *imap.SectionPartial) piece {
	if partial == nil {
		return p
	}
	from := min(max(partial.Offset, 0), p.size)
	return piece{min(max(partial.Size, 0), p.size-from), func(offset int64) (io.Reader, error) { return p.open(from + offset) }}
}

func (p piece) write(w io.WriteCloser) error {
	if p.size > 0 {
		r, err := p.open(0)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(w, r, p.size); err != nil {
			return err
		}
	}
	return w.Close()
}

// bodySection returns what BODY[section] means (RFC 9051 6.4.5.1); nothing where there is no such
// part.
func bodySection(blob io.ReadSeeker, size int64, root *message.Part, section *imap.FetchItemBodySection) (piece, error) {
	part := root
	if len(section.Part) > 0 {
		if part = root.Find(section.Part); part == nil {
			return text(nil), nil
		}
		switch section.Specifier {
		case imap.PartSpecifierNone:
			return span(blob, part.Body, part.End), nil
		case imap.PartSpecifierMIME:
			return span(blob, part.Header, part.Body), nil
		}
		if part = part.Message; part == nil {
			return text(nil), nil
		}
	}
	switch section.Specifier {
	case imap.PartSpecifierNone:
		return span(blob, 0, size), nil
	case imap.PartSpecifierText:
		return span(blob, part.Body, part.End), nil
	}
	if section.HeaderFields == nil && section.HeaderFieldsNot == nil {
		return span(blob, part.Header, part.Body), nil
	}
	if _, err := blob.Seek(part.Header, io.SeekStart); err != nil {
		return piece{}, err
	}
	raw, err := io.ReadAll(io.LimitReader(blob, min(part.Body-part.Header, maxHeader)))
	return text(fields(raw, section.HeaderFields, section.HeaderFieldsNot)), err
}

// fields returns the lines of the header fields that are wanted, or not unwanted, and an empty one.
func fields(raw []byte, wanted, unwanted []string) []byte {
	var out []byte
	keep := false
	for line := range bytes.Lines(raw) {
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			named := func(list []string) bool {
				for _, want := range list {
					if strings.EqualFold(string(bytes.TrimRight(name, " \t")), want) {
						return true
					}
				}
				return false
			}
			keep = wanted != nil && named(wanted) || wanted == nil && !named(unwanted)
		}
		if keep {
			out = append(out, line...)
		}
	}
	return append(out, "\r\n"...)
}

// binarySection returns the decoded content of a part (RFC 3516). It is decoded twice, first to know its
// size.
func binarySection(blob io.ReadSeeker, size int64, root *message.Part, section []int) (piece, error) {
	if len(section) == 0 {
		return span(blob, 0, size), nil
	}
	part := root.Find(section)
	if part == nil {
		return text(nil), nil
	}
	if part.Multipart() {
		return piece{}, no(imap.ResponseCodeUnknownCTE, "A multipart has no content of its own")
	}
	open := func(offset int64) (io.Reader, error) {
		raw, err := span(blob, part.Body, part.End).open(0)
		if err != nil {
			return nil, err
		}
		decoded, err := part.Content(raw)
		if err != nil {
			return nil, err
		}
		_, err = io.CopyN(io.Discard, decoded, offset)
		return decoded, err
	}
	r, err := open(0)
	if errors.Is(err, message.ErrEncoding) {
		return piece{}, no(imap.ResponseCodeUnknownCTE, "The encoding is unknown")
	} else if err != nil {
		return piece{}, err
	}
	n, _ := io.Copy(io.Discard, r) // what is malformed ends it
	return piece{n, open}, nil
}
