package delivery

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// answerAgain is when a sender is answered again (RFC 3834 2).
const answerAgain = 7 * 24 * time.Hour

// An answer tells a sender that an account is away.
type answer struct {
	account, sender string
	plan            *plan
}

// planAnswer plans an answer, if a person is to have one: none for what no person sent, for lists, and for
// those who did not write to the account by name (RFC 3834 2).
func (d *Delivery) planAnswer(ctx context.Context, tx *sql.Tx, e Envelope, account, text string, parsed *message.Message, h message.Header, c course) (*answer, error) {
	sender, err := address.Parse(e.Sender)
	if err != nil || automatic(h) || sender.Account == address.Postmaster || strings.HasPrefix(sender.Account, "owner-") || strings.HasSuffix(sender.Account, "-request") || c.depth > 0 {
		return nil, nil
	}
	if own, err := d.book.Owns(ctx, tx, account, e.Sender); err != nil || own {
		return nil, err
	}
	named := slices.ContainsFunc(slices.Concat(parsed.Envelope.To, parsed.Envelope.Cc), func(to imap.Address) bool {
		owns, err := d.book.Owns(ctx, tx, account, to.Mailbox+"@"+to.Host)
		return err == nil && owns
	})
	if !named {
		return nil, nil
	}
	var b bytes.Buffer
	b.WriteString(d.received("", ""))
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\n", d.book.Full(account), e.Sender,
		strings.TrimSuffix("Auto: "+subject(h), ": "), date(time.Now()), d.newID())
	if id := h.Get("Message-ID"); id != "" && line(id, 900) {
		fmt.Fprintf(&b, "In-Reply-To: %s\r\nReferences: %s\r\n", id, id)
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	fmt.Fprintf(w, "%s\n", text)
	w.Close() // to a bytes.Buffer, which does not fail
	blob, err := d.host.Blobs().Write(ctx, &b, mailbox.MaxMessage)
	if err != nil {
		return nil, err
	}
	p, err := d.planAt(ctx, tx, Envelope{Recipients: []Recipient{{Address: e.Sender}}, Arrived: time.Now().UTC().Truncate(time.Second)}, blob, c.answer())
	sender.Detail = "" // the same person
	return &answer{account, sender.String(), p}, err
}

// automatic reports whether a message was not sent by a person to people.
func automatic(h message.Header) bool {
	for _, field := range h {
		name, value := strings.ToLower(field.Name), strings.ToLower(strings.TrimSpace(field.Value))
		switch {
		case strings.HasPrefix(name, "list-"), name == "auto-submitted" && value != "no",
			name == "precedence" && slices.Contains([]string{"bulk", "list", "junk"}, value):
			return true
		}
	}
	return false
}

// answer sends an answer, if the sender has had none for some time.
func (d *Delivery) answer(ctx context.Context, tx *sql.Tx, a *answer) error {
	now := time.Now()
	if _, err := tx.ExecContext(ctx, `DELETE FROM mail_answered WHERE at <= ?`, now.Add(-answerAgain).Unix()); err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO mail_answered (account, sender, at) VALUES (?, ?, ?)
		ON CONFLICT (account, sender) DO UPDATE SET at = excluded.at WHERE at <= ?`, a.account, a.sender, now.Unix(), now.Add(-answerAgain).Unix())
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, _, err = d.carryOut(ctx, tx, a.plan, origin{})
	return err
}

// planForward plans to forward a message of an account. It returns nil where that cannot be, as the message has been
// here before or the address is gone: then the account has it.
func (d *Delivery) planForward(ctx context.Context, tx *sql.Tx, e Envelope, blob kith.Blob, h message.Header, account, to string, c course) (*plan, error) {
	own := d.book.Full(account)
	for _, field := range h {
		if strings.EqualFold(field.Name, "Delivered-To") && strings.EqualFold(strings.TrimSpace(field.Value), own) {
			return nil, nil
		}
	}
	if d.checkHops(h) != nil || c.depth >= maxPassing {
		return nil, nil
	}
	if !c.first("account " + account) {
		return &plan{envelope: e, message: blob}, nil // it has been forwarded, having come by another way
	}
	if e.Sender != "" {
		e.Sender = own
	}
	e.Return = "FULL" // for nobody else may have it
	p, err := d.passOn(ctx, tx, e, blob, own, "Delivered-To: "+own+"\r\n", []string{to}, c)
	if isRefusal(err) && err != errCopies || err == nil && len(p.failed) > 0 {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return p, nil
}
