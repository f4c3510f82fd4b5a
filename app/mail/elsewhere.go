package mail

import (
	"context"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"
	gomail "github.com/emersion/go-message/mail"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
)

// newID gives a message the Message-ID by which it is known from the form to the copy in Sent.
func (m *mail) newID(w *written) error {
	var h gomail.Header
	err := h.GenerateMessageIDWithHostname(m.host.Name().String())
	w.ID, _ = h.MessageID()
	return err
}

// meet compares a form with what became of its message elsewhere: by the button Back, or in another window. It fails
// with kind Exists where a person has to look first; the form is then a message of its own.
func (m *mail) meet(ctx context.Context, v *visit, w *written) error {
	sent, found, err := m.named(ctx, v, w.ID, imap.MailboxAttrSent)
	if err != nil {
		return err
	}
	if found {
		return m.part(w, sent, "this message has been sent already; press Send to send it once more")
	}
	kept, found, err := m.named(ctx, v, w.ID, imap.MailboxAttrDrafts)
	if err != nil {
		return err
	}
	switch {
	case found && w.missing:
		return m.part(w, kept, "this message was changed in another window; this one has a copy of its files now: look at them, then go on")
	case w.missing:
		return fmt.Errorf("a file of this message is not there any more; attach it again, or send it without: %w", kith.Exists)
	case found:
		w.Draft = kept.Content // it takes the place of that
	}
	return nil
}

// part makes a form a message of its own, with the files of another where some of its own are missing.
func (m *mail) part(w *written, other mailbox.Item, why string) (err error) {
	if w.missing {
		if w.Carried, err = carriedOf(other); err != nil {
			return err
		}
	}
	w.Draft = 0
	if err := m.newID(w); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", why, kith.Exists)
}

// named returns the newest message with a Message-ID in a folder of the account.
func (m *mail) named(ctx context.Context, v *visit, id string, use imap.MailboxAttr) (item mailbox.Item, found bool, err error) {
	list, err := m.mailboxes.Named(ctx, v.account, id)
	list = slices.DeleteFunc(list, func(i mailbox.Item) bool { return i.Folder != v.use(use) })
	if err != nil || len(list) == 0 {
		return item, false, err
	}
	return slices.MaxFunc(list, func(a, b mailbox.Item) int { return int(a.UID) - int(b.UID) }), true, nil
}
