package message

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
)

// codecVersion is the first byte of what MarshalBinary writes.
const codecVersion = 1

// ErrCodec means that bytes are not what MarshalBinary writes.
var ErrCodec = errors.New("description of a message is malformed")

// MarshalBinary returns the message in a form for UnmarshalBinary. It never fails.
func (m *Message) MarshalBinary() ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 512)}
	e.buf = append(e.buf, codecVersion)
	e.number(m.Size)
	e.envelope(&m.Envelope)
	e.texts(m.References)
	e.part(m.Root)
	return e.buf, nil
}

// UnmarshalBinary reads what MarshalBinary writes. It fails with [ErrCodec].
func (m *Message) UnmarshalBinary(data []byte) error {
	d := decoder{buf: data}
	if d.byte() != codecVersion {
		return ErrCodec
	}
	m.Size = d.number()
	d.envelope(&m.Envelope)
	m.References = d.texts()
	m.Root = d.part(0)
	if d.failed || len(d.buf) > 0 {
		return ErrCodec
	}
	return nil
}

// UnmarshalEnvelope reads only the envelope.
func (m *Message) UnmarshalEnvelope(data []byte) error {
	d := decoder{buf: data}
	if d.byte() != codecVersion {
		return ErrCodec
	}
	m.Size = d.number()
	d.envelope(&m.Envelope)
	if d.failed {
		return ErrCodec
	}
	return nil
}

type encoder struct{ buf []byte }

func (e *encoder) number(n int64) { e.buf = binary.AppendVarint(e.buf, n) }

func (e *encoder) text(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) texts(list []string) {
	e.number(int64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

func (e *encoder) table(m map[string]string) {
	e.number(int64(len(m)))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		e.text(key)
		e.text(m[key])
	}
}

func (e *encoder) envelope(v *imap.Envelope) {
	if v.Date.IsZero() {
		e.buf = append(e.buf, 0)
	} else {
		_, zone := v.Date.Zone()
		e.buf = append(e.buf, 1)
		e.number(v.Date.Unix())
		e.number(int64(zone))
	}
	e.text(v.Subject)
	for _, list := range [][]imap.Address{v.From, v.Sender, v.ReplyTo, v.To, v.Cc, v.Bcc} {
		e.number(int64(len(list)))
		for _, address := range list {
			e.text(address.Name)
			e.text(address.Mailbox)
			e.text(address.Host)
		}
	}
	e.texts(v.InReplyTo)
	e.text(v.MessageID)
}

// part writes offsets as differences, which are small.
func (e *encoder) part(p *Part) {
	e.number(p.Header)
	e.number(p.Body - p.Header)
	e.number(p.End - p.Body)
	e.number(p.Lines)
	for _, s := range []string{p.Type, p.Subtype, p.ID, p.Description, p.Encoding, p.Disposition, p.Location} {
		e.text(s)
	}
	e.table(p.Params)
	e.table(p.DispositionArgs)
	e.texts(p.Language)
	e.number(int64(len(p.Parts)))
	for _, child := range p.Parts {
		e.part(child)
	}
	if p.Message == nil {
		e.buf = append(e.buf, 0)
		return
	}
	e.buf = append(e.buf, 1)
	e.envelope(p.Envelope)
	e.part(p.Message)
}

// A decoder reads until something is wrong; after that everything is zero.
type decoder struct {
	buf    []byte
	failed bool
}

func (d *decoder) fail() {
	d.buf, d.failed = nil, true
}

func (d *decoder) byte() byte {
	if len(d.buf) == 0 {
		d.fail()
		return 0
	}
	b := d.buf[0]
	d.buf = d.buf[1:]
	return b
}

func (d *decoder) number() int64 {
	n, size := binary.Varint(d.buf)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.buf = d.buf[size:]
	return n
}

// length reads how many there are of something that takes a byte at least.
func (d *decoder) length() int {
	n := d.number()
	if n < 0 || n > int64(len(d.buf)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n, size := binary.Uvarint(d.buf)
	if size <= 0 || n > uint64(len(d.buf)-size) {
		d.fail()
		return ""
	}
	text := string(d.buf[size : size+int(n)])
	d.buf = d.buf[size+int(n):]
	return text
}

func (d *decoder) texts() (list []string) {
	for range d.length() {
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) table() map[string]string {
	n := d.length()
	if n == 0 {
		return nil
	}
	table := make(map[string]string, n)
	for range n {
		key := d.text()
		table[key] = d.text()
	}
	return table
}

func (d *decoder) envelope(v *imap.Envelope) {
	if d.byte() == 1 {
		seconds, zone := d.number(), d.number()
		v.Date = time.Unix(seconds, 0).In(time.FixedZone("", int(zone)))
	}
	v.Subject = d.text()
	for _, list := range []*[]imap.Address{&v.From, &v.Sender, &v.ReplyTo, &v.To, &v.Cc, &v.Bcc} {
		n := d.length()
		if n == 0 {
			continue
		}
		*list = make([]imap.Address, n)
		for i := range *list {
			(*list)[i] = imap.Address{Name: d.text(), Mailbox: d.text(), Host: d.text()}
		}
	}
	v.InReplyTo = d.texts()
	v.MessageID = d.text()
}

func (d *decoder) part(depth int) *Part {
	p := new(Part)
	if d.failed || depth > 2*maxDepth {
		d.fail()
		return p
	}
	p.Header = d.number()
	p.Body = p.Header + d.number()
	p.End = p.Body + d.number()
	p.Lines = d.number()
	for _, s := range []*string{&p.Type, &p.Subtype, &p.ID, &p.Description, &p.Encoding, &p.Disposition, &p.Location} {
		*s = d.text()
	}
	p.Params, p.DispositionArgs, p.Language = d.table(), d.table(), d.texts()
	for range d.length() {
		p.Parts = append(p.Parts, d.part(depth+1))
	}
	if d.byte() == 1 {
		p.Envelope = new(imap.Envelope)
		d.envelope(p.Envelope)
		p.Message = d.part(depth + 1)
	}
	return p
}
