package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// Receive takes a letter of another host, as [kith.Service] has it. Where nobody here can have it the
// letter is refused; where some cannot, its sender is told by a letter.
func (d *Delivery) Receive(ctx context.Context, tx *sql.Tx, l kith.Letter) error {
	e, r, err := readEnvelope(ctx, d.host.Blobs(), l)
	if err != nil {
		return err
	}
	defer r.Close()
	blob := l.Payload
	if len(l.Note) == 0 { // of an earlier version: the message is a part of it
		if blob, err = d.host.Blobs().Write(ctx, r, mailbox.MaxMessage); err != nil {
			return err
		}
	}
	if err := d.checkOrigin(ctx, l.From, e, blob); err != nil {
		return coded(err)
	}
	local := *e
	local.Recipients = nil
	for _, to := range e.Recipients {
		if a, err := address.Parse(to.Address); err == nil {
			a.Domain = d.host.Name().String() // who it is for is this host's, whatever is said
			to.Address = a.String()
		}
		local.Recipients = append(local.Recipients, to)
	}
	p, err := d.plan(ctx, tx, local, blob)
	if err != nil {
		return coded(err)
	}
	failed, taken, err := d.carryOut(ctx, tx, p, origin{})
	if err != nil {
		return err
	}
	if !taken && len(failed) > 0 {
		return coded(failed[0].why)
	}
	return d.tell(ctx, tx, l.From, local, failed, blob)
}

// checkOrigin checks that a letter's host sends in its own name.
func (d *Delivery) checkOrigin(ctx context.Context, from kith.ID, e *Envelope, blob kith.Blob) error {
	if e.Sender != "" && !d.isOf(from, e.Sender) {
		return address.Refuse("5.7.1", kith.Invalid, "%+.80q is no address of the host that sent it", e.Sender)
	}
	_, header, err := d.read(ctx, blob)
	if err != nil {
		return err
	}
	if err := d.checkHops(header); err != nil {
		return err
	}
	if err := checkFields(header); err != nil {
		return err
	}
	if !d.allOf(from, header, "From") || header.Get("Sender") != "" && !d.allOf(from, header, "Sender") {
		return address.Refuse("5.7.1", kith.Invalid, "From or Sender of the message is no address of the host that sent it")
	}
	return nil
}

// allOf reports whether all addresses of a field, and at least one, are of a host.
func (d *Delivery) allOf(host kith.ID, h message.Header, field string) bool {
	list, err := h.List(field)
	return err == nil && len(list) > 0 &&
		!slices.ContainsFunc(list, func(a *mail.Address) bool { return !d.isOf(host, a.Address) })
}

// isOf reports whether an address is of a host, by any name that it has or had.
func (d *Delivery) isOf(host kith.ID, text string) bool {
	a, err := address.Parse(text)
	if err != nil || a.Domain == "" || a.Domain == "localhost" {
		return false
	}
	id, err := d.book.Host(a)
	return err == nil && id == host
}

// coded puts the status into the text of a refusal, as the text is all that the other host is told.
func coded(err error) error {
	if why := new(address.Refusal); errors.As(err, &why) {
		kind := why.Kind
		if kind == kith.Quota {
			kind = kith.Denied // to be told now, rather than tried for a month
		}
		return fmt.Errorf("%s %s: %w", why.Status, why.Text, kind)
	}
	return err
}

var codedText = regexp.MustCompile(`^([245]\.\d{1,3}\.\d{1,3}) (.*?)(?:: (?:` + string(kith.Invalid) + `|` + string(kith.NotFound) + `|` + string(kith.Denied) + `))?$`)

// reason returns what became of a letter that did not arrive.
func reason(s kith.LetterStatus) *address.Refusal {
	if s.State == kith.LetterExpired {
		return &address.Refusal{Status: "4.4.7", Text: "the host of the recipient was not there in time"}
	}
	text := s.Reason
	if !line(text, 1000) || text == "" {
		text = "the host of the recipient did not take it"
	}
	if m := codedText.FindStringSubmatch(text); m != nil && m[1][0] != '2' {
		return &address.Refusal{Status: m[1], Text: m[2]}
	}
	return &address.Refusal{Status: "5.0.0", Text: text}
}

// Ended learns how a letter of this host ended, as [kith.Service] has it: its sender is told of failures, and of
// success where that was asked for.
func (d *Delivery) Ended(ctx context.Context, tx *sql.Tx, s kith.LetterStatus) error {
	if err := arrived(ctx, tx, s); err != nil || s.Late { // when it expired the message was let go, and its sender told
		return err
	}
	e, r, err := readEnvelope(ctx, d.host.Blobs(), s.Letter)
	if errors.Is(err, kith.NotFound) || errors.Is(err, kith.Invalid) {
		d.log.Error("sender is not told what became of a message", "letter", s.ID, "err", err)
		return nil
	} else if err != nil {
		return err
	}
	defer r.Close()
	n := notification{envelope: *e, action: failed, letter: s}
	switch {
	case s.State == kith.LetterDelivered:
		if n.action, n.about = delivered, arrivals(e.Recipients); len(n.about) > 1 { // of some that host may tell otherwise
			n.action = relayed
			for i := range n.about {
				n.about[i].why = &address.Refusal{Status: "2.0.0", Text: "the host of the recipient has it"}
			}
		}
	default:
		why := reason(s)
		for _, to := range e.Recipients {
			n.about = append(n.about, failure{to, why})
		}
	}
	if names := d.hostName(s.To); names != "" {
		for i := range n.about {
			n.about[i].recipient.Address += "@" + names
		}
	}
	if err := d.notify(ctx, tx, d.host.ID(), n, r); err != nil {
		return err
	}
	return d.host.Blobs().Release(ctx, tx, s.Payload.ID)
}

// hostName returns the full name of a member, or the one that is its ID.
func (d *Delivery) hostName(id kith.ID) string {
	for _, m := range d.host.Members() {
		if m.ID == id {
			return kith.Name{Host: m.Host, Group: d.host.Name().Group}.String()
		}
	}
	return id.String() + "." + kith.Domain
}

// tell has the sender of a message know who does not have it.
func (d *Delivery) tell(ctx context.Context, tx *sql.Tx, host kith.ID, e Envelope, about []failure, blob kith.Blob) error {
	if len(about) == 0 {
		return nil
	}
	r, err := d.host.Blobs().Open(ctx, blob.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	return d.notify(ctx, tx, host, notification{envelope: e, action: failed, about: about}, r)
}

// tellPlaced has the sender of a message know who has it in a mailbox here, if he asked for that.
func (d *Delivery) tellPlaced(ctx context.Context, tx *sql.Tx, e Envelope, placed []Recipient, blob kith.Blob) error {
	n := notification{envelope: e, action: delivered, about: arrivals(placed)}
	if n.wanted(); len(n.about) == 0 {
		return nil
	}
	r, err := d.host.Blobs().Open(ctx, blob.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	return d.notify(ctx, tx, d.host.ID(), n, r)
}

// arrivals are what is told of recipients who have the message.
func arrivals(recipients []Recipient) (about []failure) {
	for _, to := range recipients {
		about = append(about, failure{to, &address.Refusal{Status: "2.1.5", Text: "it is in the mailbox"}})
	}
	return about
}

// subject returns the subject of a message's header, for another one's.
func subject(h message.Header) string {
	text := h.Get("Subject")
	if !line(text, 200) {
		text = ""
	}
	return text
}
