package delivery

import (
	"log/slog"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/mailbox"
)

// Config is what a [Delivery] needs.
type Config struct {
	Host      kith.Host
	Mailboxes *mailbox.Store
	Book      *address.Book
}

// A Delivery brings mail where it belongs. It is safe for concurrent use. Errors are [address.Refusal], with a
// kind; others are failures of this host.
type Delivery struct {
	host      kith.Host
	store     kith.Store
	mailboxes *mailbox.Store
	book      *address.Book
	log       *slog.Logger
}

// New returns a delivery that opens nothing.
func New(cfg Config) *Delivery {
	return &Delivery{host: cfg.Host, store: cfg.Host.Store(), mailboxes: cfg.Mailboxes, book: cfg.Book, log: cfg.Host.Log()}
}
