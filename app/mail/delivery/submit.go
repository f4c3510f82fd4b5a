package delivery

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// Limits of a message that is submitted.
const (
	MaxMessage = 32 << 20  // bytes
	maxHeader  = 256 << 10 // bytes
	maxHops    = 25        // Received lines
)

// A Submission is a message that a person's program hands over.
type Submission struct {
	Account    string // who is signed in
	Sender     string // as MAIL FROM has it; "" for what nobody answers
	Recipients []Recipient
	Return, ID string // as in Envelope
	Client     string // that it comes from, for the Received line: "laptop ([127.0.0.1])"
	Protocol   string // RFC 3848: "ESMTPSA"
	Message    io.Reader
	KeepSent   bool // a copy goes into the folder Sent; mail programs put theirs there themselves
}

// CheckSender says why an account cannot send as an address, with a [address.Refusal]. It may
// always send what nobody answers ("").
func (d *Delivery) CheckSender(ctx context.Context, account, sender string) error {
	if sender == "" {
		return nil
	}
	var owns bool
	err := d.store.View(ctx, func(tx *sql.Tx) (err error) {
		owns, err = d.book.Owns(ctx, tx, account, sender)
		return err
	})
	if err == nil && !owns {
		err = address.Refuse("5.7.1", kith.Denied, "%+.80q is no address of %s", sender, account)
	}
	return err
}

// CheckRecipient says why mail for an address goes nowhere, with a [address.Refusal].
func (d *Delivery) CheckRecipient(ctx context.Context, text string) error {
	a, err := address.Parse(text)
	if err != nil {
		return err
	}
	return d.store.View(ctx, func(tx *sql.Tx) error {
		_, err := d.book.Resolve(ctx, tx, a)
		return err
	})
}

// Submit takes a message. When it returns nil the message is on disk, in mailboxes and letters. A
// [address.Refusal] says what is wrong with it, or that none of the recipients can have it; where some cannot,
// the sender has a notification in the mailbox. Lines of the message end with CRLF. A Bcc is
// removed; Message-ID, Date, From are added where they are missing (RFC 6409 8).
func (d *Delivery) Submit(ctx context.Context, s Submission) error {
	ctx, cancel := context.WithCancel(ctx) // to it blobs stay that nobody keeps
	defer cancel()
	if len(s.Recipients) == 0 || len(s.Recipients) > MaxRecipients {
		return address.Refuse("5.5.3", kith.Invalid, "a message has from 1 to %d recipients", MaxRecipients)
	}
	if err := d.CheckSender(ctx, s.Account, s.Sender); err != nil {
		return err
	}
	if s.Sender != "" {
		a, err := address.Parse(s.Sender)
		if err != nil {
			return err
		}
		a.Domain = d.host.Name().String()
		s.Sender = a.String()
	}
	envelope := Envelope{Sender: s.Sender, Recipients: s.Recipients, Return: s.Return, ID: s.ID, Arrived: time.Now().UTC().Truncate(time.Second)}
	if err := envelope.check(); err != nil {
		return address.Refuse("5.5.4", kith.Invalid, "the parameters of the recipients cannot be read")
	}
	r := bufio.NewReaderSize(&strictReader{r: s.Message}, 64<<10)
	head, err := d.header(ctx, r, s)
	if err != nil {
		return err
	}
	blob, err := d.host.Blobs().Write(ctx, io.MultiReader(bytes.NewReader(head), r), MaxMessage)
	if errors.Is(err, kith.Invalid) && !isRefusal(err) {
		return address.Refuse("5.3.4", kith.Invalid, "a message has at most %d MiB", MaxMessage>>20)
	} else if err != nil {
		return err
	}
	var p *plan
	var parsed *message.Message
	if s.KeepSent {
		if parsed, _, err = d.read(ctx, blob); err != nil {
			return err
		}
	}
	o := origin{s.Account, message.ParseHeader(head).MessageID()}
	err = d.store.View(ctx, func(tx *sql.Tx) (err error) {
		p, err = d.plan(ctx, tx, envelope, blob)
		return err
	})
	if err != nil {
		return err
	}
	return d.store.Update(ctx, func(tx *sql.Tx) error {
		failed, taken, err := d.carryOut(ctx, tx, p, o)
		if err != nil {
			return err
		}
		if !taken && len(failed) > 0 {
			return failed[0].why
		}
		if s.KeepSent {
			_, err := d.mailboxes.Deliver(ctx, tx, s.Account, mailbox.Sent, mailbox.Delivery{Blob: blob, Parsed: parsed, Flags: []imap.Flag{imap.FlagSeen}})
			if errors.Is(err, kith.Quota) {
				return full(s.Account)
			} else if err != nil {
				return err
			}
		}
		if err := d.tell(ctx, tx, d.host.ID(), envelope, failed, blob); err != nil {
			return err
		}
		return d.tellPlaced(ctx, tx, envelope, p.placed, blob)
	})
}

func isRefusal(err error) bool {
	var refusal *address.Refusal
	return errors.As(err, &refusal)
}

// header reads the header of a submission, checks it, and returns what goes in its place.
func (d *Delivery) header(ctx context.Context, r *bufio.Reader, s Submission) ([]byte, error) {
	raw, rest, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	h := message.ParseHeader(raw)
	if err := d.checkHops(h); err != nil {
		return nil, err
	}
	if err := checkFields(h); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(d.received(s.Client, s.Protocol))
	if h.Get("From") == "" {
		fmt.Fprintf(&b, "From: <%s>\r\n", d.book.Full(s.Account))
	}
	if h.Get("Resent-From") == "" {
		err = d.checkAuthors(ctx, s.Account, h, "From", "Sender")
	} else if err = d.checkAuthors(ctx, s.Account, h, "Resent-From", "Resent-Sender"); err == nil {
		if err = d.checkAuthors(ctx, s.Account, h, "From", "Sender"); isRefusal(err) {
			raw, err = inTheNameOf(d.book.Full(s.Account), raw, h), nil
		}
	}
	if err != nil {
		return nil, err
	}
	if h.Get("Date") == "" {
		fmt.Fprintf(&b, "Date: %s\r\n", date(time.Now()))
	}
	if h.Get("Message-ID") == "" {
		fmt.Fprintf(&b, "Message-ID: %s\r\n", d.newID())
	}
	b.Write(without(raw, "Bcc", "Resent-Bcc"))
	b.WriteString("\r\n")
	b.Write(rest)
	return b.Bytes(), nil
}

// checkAuthors checks that the fields of those who wrote a message, or send it again, name an account (RFC 6409 6.1).
func (d *Delivery) checkAuthors(ctx context.Context, account string, h message.Header, fields ...string) error {
	return d.store.View(ctx, func(tx *sql.Tx) error {
		for _, field := range fields {
			if h.Get(field) == "" {
				continue
			}
			authors, err := h.List(field)
			if err != nil || len(authors) == 0 {
				return address.Refuse("5.6.0", kith.Invalid, "%s of the message is no address", field)
			}
			for _, author := range authors {
				owns, err := d.book.Owns(ctx, tx, account, author.Address)
				if err != nil {
					return err
				}
				if !owns {
					return address.Refuse("5.7.1", kith.Denied, "%s of the message has %+.80q, which is no address of %s", field, author.Address, account)
				}
			}
		}
		return nil
	})
}

func (d *Delivery) checkHops(h message.Header) error {
	if n := count(h, "Received"); n > maxHops {
		return address.Refuse("5.4.6", kith.Invalid, "the message goes round in circles: it has %d Received lines", n)
	}
	return nil
}

// checkFields refuses a message with two fields of authors (RFC 5322 3.6): one would be checked, and another
// one shown.
func checkFields(h message.Header) error {
	if len(h) >= message.MaxFields { // there may be more, which nobody has looked at
		return address.Refuse("5.6.0", kith.Invalid, "the header of a message has less than %d fields", message.MaxFields)
	}
	for _, field := range []string{"From", "Sender"} {
		if count(h, field) > 1 {
			return address.Refuse("5.6.0", kith.Invalid, "the message has more than one %s", field)
		}
	}
	return nil
}

func count(h message.Header, name string) (n int) {
	for _, field := range h {
		if strings.EqualFold(field.Name, name) {
			n++
		}
	}
	return n
}

// received returns a Received line (RFC 5321 4.4).
func (d *Delivery) received(client, protocol string) string {
	from := ""
	if client != "" {
		from = "from " + client + "\r\n\t"
	}
	with := ""
	if protocol != "" {
		with = " with " + protocol
	}
	return fmt.Sprintf("Received: %sby %s%s id %s;\r\n\t%s\r\n", from, d.host.Name(), with, strings.ToLower(rand.Text()[:12]), date(time.Now()))
}

// newID returns a Message-ID that nobody has used.
func (d *Delivery) newID() string {
	return "<" + strings.ToLower(rand.Text()) + "@" + d.host.Name().String() + ">"
}

func date(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// A strictReader passes on a message whose lines all end with CRLF, and fails with a [address.Refusal] at any other CR
// or LF: what one program takes for an end of a line, and another does not, hides a message in a message.
type strictReader struct {
	r  io.Reader
	cr bool // the last byte was one
}

func (s *strictReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	for _, c := range p[:n] {
		if s.cr != (c == '\n') {
			return 0, errBare
		}
		s.cr = c == '\r'
	}
	if err == io.EOF && s.cr {
		return 0, errBare
	}
	return n, err
}

var errBare = address.Refuse("5.6.0", kith.Invalid, "the message has a CR or an LF that is no end of a line")
