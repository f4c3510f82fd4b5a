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
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// Actions of a notification (RFC 3464 2.3.3).
const (
	failed    = "failed"
	delivered = "delivered"
	relayed   = "relayed"
)

// maxReturned is how many bytes of a message come back with a notification: all, as what was forwarded
// nobody else has.
const maxReturned = MaxMessage + maxHeader

// A notification tells the sender of a message what became of it.
type notification struct {
	envelope Envelope
	action   string
	about    []failure
	letter   kith.LetterStatus // zero where there was none
}

// wanted keeps the recipients of whom the sender wants to know (RFC 3461 4.1).
func (n *notification) wanted() {
	n.about = slices.DeleteFunc(slices.Clone(n.about), func(f failure) bool {
		if n.action != failed {
			return !slices.Contains(f.recipient.Notify, "SUCCESS")
		}
		return len(f.recipient.Notify) > 0 && !slices.Contains(f.recipient.Notify, "FAILURE")
	})
}

// notify brings a notification to the sender of a message, which the reader has: into a mailbox, or
// to the host where the sender is. What nobody answers is told to nobody.
func (d *Delivery) notify(ctx context.Context, tx *sql.Tx, host kith.ID, n notification, original io.Reader) error {
	n.wanted()
	if n.envelope.Sender == "" || len(n.about) == 0 {
		return nil
	}
	sender, err := address.Parse(n.envelope.Sender)
	if err != nil {
		return nil
	}
	text, err := d.notification(n, original)
	if err != nil {
		return err
	}
	blob, err := d.host.Blobs().Write(ctx, text, mailbox.MaxMessage)
	if err != nil {
		return err
	}
	if host != d.host.ID() {
		to := Envelope{Recipients: []Recipient{{Address: sender.Account}}, Arrived: time.Now().UTC().Truncate(time.Second)}
		l, err := to.letter(host, to.Recipients, blob)
		if err != nil {
			return err
		}
		why, err := d.send(ctx, tx, l, origin{})
		if why != nil && why.Kind == kith.Quota {
			return why // later
		} else if why != nil {
			d.log.Warn("sender was not told of a failure", "host", host.Short(), "why", why.Text)
		}
		return err
	}
	account, err := d.book.Account(ctx, tx, sender.Account)
	if err == nil {
		_, err = d.mailboxes.Deliver(ctx, tx, account, mailbox.Inbox, mailbox.Delivery{Blob: blob, Notice: true})
	}
	if errors.Is(err, kith.NotFound) || errors.Is(err, kith.Quota) {
		d.log.Warn("sender was not told of a failure", "account", sender.Account, "err", err)
		return nil
	}
	return err
}

// notification returns a message of RFC 3464, which reads the original as it is read.
func (d *Delivery) notification(n notification, original io.Reader) (io.Reader, error) {
	r := bufio.NewReaderSize(original, 16<<10)
	raw, rest, err := readHeader(r)
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	header := message.ParseHeader(raw)
	now := time.Now()
	edge := strings.ToLower(rand.Text())
	title := "Not delivered"
	if n.action != failed {
		title = "Delivered"
	}
	var b bytes.Buffer
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }

	b.WriteString(d.received("", ""))
	write("From: \"Mail of %s\" <%s>", d.host.Name().Host, d.book.Full(address.Postmaster))
	write("To: <%s>", n.envelope.Sender)
	write("Subject: %s", strings.TrimSuffix(title+": "+subject(header), ": "))
	write("Date: %s", date(now))
	write("Message-ID: %s", d.newID())
	if id := header.Get("Message-ID"); id != "" && line(id, 900) {
		write("In-Reply-To: %s\r\nReferences: %s", id, id)
	}
	write("Auto-Submitted: auto-replied")
	write("MIME-Version: 1.0")
	write("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"", edge)
	write("\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\n", edge)
	n.explain(write)
	write("\r\n--%s\r\nContent-Type: message/delivery-status\r\n", edge)
	n.status(write, d.host.Name().String(), now)
	if n.envelope.Return == "FULL" && n.action == failed {
		write("--%s\r\nContent-Type: message/rfc822\r\n", edge)
		b.Write(raw)
		write("")
		b.Write(rest)
	} else {
		write("--%s\r\nContent-Type: text/rfc822-headers\r\n", edge)
		b.Write(raw)
		r.Reset(strings.NewReader(""))
	}
	return io.MultiReader(&b, io.LimitReader(r, maxReturned), strings.NewReader("\r\n--"+edge+"--\r\n")), nil
}

// explain writes the part for people.
func (n *notification) explain(write func(string, ...any)) {
	switch n.action {
	case delivered:
		write("Your message has arrived.\r\n")
	case relayed:
		write("Your message has arrived at the computer of its recipients.\r\n")
	default:
		write("Your message could not be delivered to:\r\n")
	}
	for _, f := range n.about {
		write("  %s", f.recipient.Address)
		if n.action == failed {
			write("    %s.", sentence(f.why.Text))
		}
	}
	if n.action == failed {
		write("\r\nNobody tries again. Send it anew when the reason is gone.")
	}
}

func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".")
}

// status writes the part for programs (RFC 3464 2).
func (n *notification) status(write func(string, ...any), self string, now time.Time) {
	if n.envelope.ID != "" {
		write("Original-Envelope-Id: %s", n.envelope.ID)
	}
	write("Reporting-MTA: dns; %s", self)
	write("Arrival-Date: %s", date(n.envelope.Arrived))
	for _, f := range n.about {
		write("")
		if kind, text, ok := strings.Cut(f.recipient.Original, ";"); ok {
			write("Original-Recipient: %s; %s", kind, text)
		}
		write("Final-Recipient: rfc822; %s", f.recipient.Address)
		write("Action: %s", n.action)
		write("Status: %s", f.why.Status)
		if n.action == failed {
			write("Diagnostic-Code: x-kith; %s", f.why.Text)
		}
		at := n.letter.Since
		if at.IsZero() {
			at = now
		}
		write("Last-Attempt-Date: %s", date(at))
	}
	write("")
}
