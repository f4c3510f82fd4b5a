package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// A plan is what is to be done with a message. Blobs that it names are there as long as
// the context that it was made with.
type plan struct {
	boxes   []box
	letters []letter
	failed  []failure
	placed  []Recipient // who has it in a mailbox here, when it is carried out
	passed  []*plan     // what lists and forwards make of it
	answers []*answer

	envelope Envelope // that it is a plan for
	message  kith.Blob
	forward  bool // of an account to another address
	instead  *box // of a forward without a copy: that has what cannot be forwarded
}

// A box is a mailbox that the message goes into.
type box struct {
	account   string
	blob      kith.Blob
	parsed    *message.Message
	recipient Recipient
}

// A letter goes to another host.
type letter struct {
	host       kith.ID
	note       []byte
	message    kith.Blob
	recipients []Recipient
}

// A failure is a recipient who does not have the message.
type failure struct {
	recipient Recipient
	why       *address.Refusal
}

const (
	maxPassing = 8      // times that a message is passed on within this host
	maxCopies  = 10_000 // of a message that lists and forwards make here
)

// errCopies ends a plan as a whole.
var errCopies = address.Refuse("5.3.4", kith.Quota, "the message would be delivered more than %d times", maxCopies)

// A course is the way of a message through this host. Each list passes it on once, and each account forwards it once,
// however many lists name one another.
type course struct {
	depth  int             // how often it has been passed on, this way
	passed map[string]bool // by whom, on all ways: "list film", "account ann"
	copies *int            // to mailboxes and other hosts, of the answers to it, too
}

func (c course) further() course { c.depth++; return c }

// answer is the course of an answer, which is another message.
func (c course) answer() course { return course{c.depth + 1, make(map[string]bool), c.copies} }

// first reports whether nobody has passed the message on by this name, and notes it.
func (c course) first(passer string) bool {
	known := c.passed[passer]
	c.passed[passer] = true
	return !known
}

// count counts a copy.
func (c course) count() error {
	if *c.copies++; *c.copies > maxCopies {
		return errCopies
	}
	return nil
}

// plan looks up where a message goes.
func (d *Delivery) plan(ctx context.Context, tx *sql.Tx, e Envelope, blob kith.Blob) (*plan, error) {
	return d.planAt(ctx, tx, e, blob, course{passed: make(map[string]bool), copies: new(int)})
}

func (d *Delivery) planAt(ctx context.Context, tx *sql.Tx, e Envelope, blob kith.Blob, c course) (*plan, error) {
	p := &plan{envelope: e, message: blob}
	var parsed *message.Message
	var header message.Header
	hosts := make(map[kith.ID][]Recipient)
	var order []kith.ID
	type mailbox struct {
		host         kith.ID
		name, detail string
	}
	seen := make(map[mailbox]bool)
	for _, r := range e.Recipients {
		targets, err := d.resolve(ctx, tx, r.Address)
		if why := new(address.Refusal); errors.As(err, &why) {
			p.failed = append(p.failed, failure{r, why})
			continue
		} else if err != nil {
			return nil, err
		}
		for _, t := range targets {
			key := mailbox{t.Host, t.Name, t.Detail}
			if seen[key] {
				continue
			}
			seen[key] = true
			if t.Host != d.host.ID() {
				if err := c.count(); err != nil {
					return nil, err
				}
				to := r
				to.Address = address.Address{Account: t.Name, Detail: t.Detail}.String()
				if to.Original == "" {
					to.Original = "rfc822;" + r.Address
				}
				if hosts[t.Host] == nil {
					order = append(order, t.Host)
				}
				hosts[t.Host] = append(hosts[t.Host], to)
				continue
			}
			if header == nil {
				if parsed, header, err = d.read(ctx, blob); err != nil {
					return nil, err
				}
			}
			if t.List != nil {
				list, err := d.planList(ctx, tx, e, blob, header, t.List, c)
				if why := new(address.Refusal); errors.As(err, &why) && why != errCopies {
					p.failed = append(p.failed, failure{r, why})
					continue
				} else if err != nil {
					return nil, err
				}
				if list != nil {
					p.passed = append(p.passed, list)
				}
				continue
			}
			if err := d.planBox(ctx, tx, p, e, box{t.Name, blob, parsed, r}, header, c); err != nil {
				return nil, err
			}
		}
	}
	for _, host := range order {
		for some := range slices.Chunk(hosts[host], maxInALetter) {
			l, err := e.letter(host, some, blob)
			if err != nil {
				return nil, err
			}
			p.letters = append(p.letters, l)
		}
	}
	return p, nil
}

// planBox adds a mailbox to a plan, and what its account wants done.
func (d *Delivery) planBox(ctx context.Context, tx *sql.Tx, p *plan, e Envelope, b box, header message.Header, c course) error {
	if err := c.count(); err != nil {
		return err
	}
	wanted, err := settings(ctx, tx, b.account)
	if err != nil {
		return err
	}
	if wanted.Away != "" {
		a, err := d.planAnswer(ctx, tx, e, b.account, wanted.Away, b.parsed, header, c)
		if err != nil {
			return err
		}
		if a != nil {
			p.answers = append(p.answers, a)
		}
	}
	if wanted.Forward != "" {
		forward, err := d.planForward(ctx, tx, e, b.blob, header, b.account, wanted.Forward, c)
		if err != nil {
			return err
		}
		if forward != nil {
			p.passed, forward.forward = append(p.passed, forward), true
			if !wanted.Keep && e.Sender != "" { // of a notification that is lost on the way nobody would be told
				forward.instead = &b
				return nil
			}
		}
	}
	p.boxes = append(p.boxes, b)
	return nil
}

func (d *Delivery) resolve(ctx context.Context, tx *sql.Tx, text string) ([]address.Target, error) {
	a, err := address.Parse(text)
	if err != nil {
		return nil, err
	}
	return d.book.Resolve(ctx, tx, a)
}

// read reads a message for a mailbox.
func (d *Delivery) read(ctx context.Context, blob kith.Blob) (*message.Message, message.Header, error) {
	r, err := d.host.Blobs().Open(ctx, blob.ID)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	header, err := message.ReadHeader(r)
	if err != nil {
		return nil, nil, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	parsed, err := message.Parse(r)
	return parsed, header, err
}

// planList has a list pass a message on to its members. It returns nil where they have it already, by another way.
func (d *Delivery) planList(ctx context.Context, tx *sql.Tx, e Envelope, blob kith.Blob, header message.Header, list *address.List, c course) (*plan, error) {
	id := "<" + list.Name + "." + d.host.Name().String() + ">"
	for _, field := range header {
		if strings.EqualFold(field.Name, "List-Id") && strings.Contains(strings.ToLower(field.Value), id) {
			return nil, address.Refuse("5.4.6", kith.Invalid, "the message has been on the list %s already", list.Name)
		}
	}
	if err := d.checkHops(header); err != nil {
		return nil, err
	}
	if c.depth >= maxPassing {
		return nil, address.Refuse("5.4.6", kith.Invalid, "the message was passed on %d times", c.depth)
	}
	if e.Sender == "" {
		return nil, address.Refuse("5.7.1", kith.Denied, "lists take no notifications")
	}
	if !c.first("list " + list.Name) {
		return nil, nil
	}
	mark := fmt.Sprintf("List-Id: %s\r\nList-Post: <mailto:%s>\r\nPrecedence: list\r\n", id, d.book.Full(list.Name))
	e.Sender = d.book.Full(list.Owner)
	p, err := d.passOn(ctx, tx, e, blob, d.book.Full(list.Name), mark, list.Members, c)
	if p != nil {
		p.failed = nil // members who are gone
	}
	return p, err
}

// letter returns the letter with a message for some recipients on a host.
func (e Envelope) letter(host kith.ID, to []Recipient, message kith.Blob) (letter, error) {
	e.Recipients = to
	note, err := e.note()
	return letter{host, note, message, to}, err
}

// carryOut does what a plan says for a message of o. It returns who does not have the message, and whether anybody has.
func (d *Delivery) carryOut(ctx context.Context, tx *sql.Tx, p *plan, o origin) (failed []failure, taken bool, err error) {
	failed, p.placed = slices.Clone(p.failed), nil
	boxes := slices.Clone(p.boxes)
	for _, again := range p.passed {
		missed, passed, err := d.carryOut(ctx, tx, again, o)
		switch {
		case err != nil:
			return nil, false, err
		case len(missed) > 0 && again.instead != nil:
			boxes = append(boxes, *again.instead)
		case len(missed) > 0 && !again.forward: // its owner is told, as he is of members on other hosts
			if err := d.tell(ctx, tx, d.host.ID(), again.envelope, missed, again.message); err != nil {
				return nil, false, err
			}
		}
		taken = taken || passed || !again.forward
	}
	for _, b := range boxes {
		_, err := d.mailboxes.Deliver(ctx, tx, b.account, mailbox.Inbox, mailbox.Delivery{Blob: b.blob, Parsed: b.parsed})
		switch {
		case errors.Is(err, kith.Quota):
			failed = append(failed, failure{b.recipient, full(b.account)})
		case err != nil:
			return nil, false, err
		default:
			taken = true
			p.placed = append(p.placed, b.recipient)
		}
	}
	for _, l := range p.letters {
		why, err := d.send(ctx, tx, l, o)
		if err != nil {
			return nil, false, err
		}
		if why == nil {
			taken = true
			continue
		}
		for _, r := range l.recipients {
			failed = append(failed, failure{r, why})
		}
	}
	for _, a := range p.answers {
		if err := d.answer(ctx, tx, a); err != nil {
			return nil, false, err
		}
	}
	return failed, taken, nil
}

// full is what a sender is told of a mailbox that is.
func full(account string) *address.Refusal {
	return &address.Refusal{Status: "5.2.2", Text: "the mailbox of " + account + " is full", Kind: kith.Denied}
}

// send leaves a letter, and keeps its message until it ends, for what the sender is then told.
func (d *Delivery) send(ctx context.Context, tx *sql.Tx, l letter, o origin) (*address.Refusal, error) {
	if err := d.host.Blobs().Keep(ctx, tx, l.message.ID); err != nil {
		return nil, err
	}
	id, err := d.host.Post().Send(ctx, tx, kith.Draft{To: l.host, Note: l.note, Payload: l.message})
	why := &address.Refusal{}
	switch {
	case err == nil:
		return nil, o.follow(ctx, tx, id, l)
	case errors.Is(err, kith.NotFound), errors.Is(err, kith.NotMember):
		why = &address.Refusal{Status: "5.1.2", Text: "its host is no member of the group any more", Kind: kith.NotFound}
	case errors.Is(err, kith.Quota):
		why = &address.Refusal{Status: "4.3.1", Text: "too much mail is on its way to other hosts already", Kind: kith.Quota}
	case errors.Is(err, kith.Invalid):
		why = &address.Refusal{Status: "5.3.4", Text: err.Error(), Kind: kith.Invalid}
	default:
		return nil, err
	}
	return why, d.host.Blobs().Release(ctx, tx, l.message.ID)
}
