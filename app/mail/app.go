package mail

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/app/mail/html"
	"kith.alt/kith/app/mail/imap"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/pop"
	"kith.alt/kith/app/mail/submission"
	"kith.alt/kith/ui"
)

//go:embed migrations
var migrationFiles embed.FS

// Protocols, and the offsets of their ports on loopback.
const (
	protocolIMAP  = "imap"
	protocolIMAPS = "imaps"
	protocolPOP3  = "pop3"
	protocolPOP3S = "pop3s"

	protocolSubmission  = "submission"
	protocolSubmissions = "submissions"
)

// App returns the application.
func App() kith.App {
	migrations, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return kith.App{
		Name:  "mail",
		Title: "Mail",
		Ports: []kith.Port{
			{Protocol: protocolSubmission, Local: 2}, {Protocol: protocolSubmissions, Local: 10, Outside: true},
			{Protocol: protocolIMAP, Local: 3}, {Protocol: protocolPOP3, Local: 4},
			{Protocol: protocolIMAPS, Local: 11, Outside: true}, {Protocol: protocolPOP3S, Local: 12, Outside: true},
		},
		Migrations: migrations,
		Commands:   commands(),
		New:        func(host kith.Host) (kith.Service, error) { return newMail(host).service(), nil },
	}
}

// mail is the application on one host.
type mail struct {
	host       kith.Host
	mailboxes  *mailbox.Store
	book       *address.Book
	delivery   *delivery.Delivery
	imap       *imap.Server
	pop        *pop.Server
	submission *submission.Server

	cleaner *html.Cleaner
	undo    undoList
	sending sync.Mutex // of messages written in the browser
	streams ui.Streams
}

func newMail(host kith.Host) *mail {
	m := &mail{host: host, cleaner: html.New(writeTo)}
	m.mailboxes = mailbox.New(mailbox.Config{Store: host.Store(), Blobs: host.Blobs(), Log: host.Log()})
	m.book = address.New(host)
	m.delivery = delivery.New(delivery.Config{Host: host, Mailboxes: m.mailboxes, Book: m.book})
	m.submission = submission.New(submission.Config{
		Delivery: m.delivery, Accounts: host.Accounts(), Name: host.Name, TLS: host.TLS, Trusted: unheard, Log: host.Log(), Metrics: host.Metrics(),
	})
	m.imap = imap.New(imap.Config{
		Mailboxes: m.mailboxes, Accounts: host.Accounts(), TLS: host.TLS, Trusted: unheard, Log: host.Log(), Metrics: host.Metrics(),
	})
	m.pop = pop.New(pop.Config{
		Mailboxes: m.mailboxes, Accounts: host.Accounts(), TLS: host.TLS, Trusted: unheard, Log: host.Log(), Metrics: host.Metrics(),
	})
	return m
}

func (m *mail) service() kith.Service {
	return kith.Service{Serve: m.serve, API: m.api(), Screens: m.screens(), Receive: m.delivery.Receive, Ended: m.delivery.Ended}
}

// serve keeps the mailboxes and answers programs until ctx ends.
func (m *mail) serve(ctx context.Context) error {
	if err := m.mailboxes.Restored(ctx, m.host.Restores()); err != nil {
		return err
	}
	if err := m.book.Publish(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := m.mailboxes.Serve(ctx); err != nil {
			cancel(err)
		}
	})
	for _, port := range []struct {
		protocol string
		answer   func(ctx context.Context, l net.Listener, secure bool) error
		secure   bool
	}{
		{protocolSubmission, m.submission.Serve, false}, {protocolSubmissions, m.submission.Serve, true},
		{protocolIMAP, m.imap.Serve, false}, {protocolIMAPS, m.imap.Serve, true},
		{protocolPOP3, m.pop.Serve, false}, {protocolPOP3S, m.pop.Serve, true},
	} {
		listener, err := m.host.Listen(ctx, port.protocol)
		if err != nil { // such as a port that another program has: the others serve
			if ctx.Err() == nil {
				m.host.Event(fmt.Sprintf("Mail programs do not reach this computer by %s: %v", port.protocol, err))
			}
			continue
		}
		tasks.Go(func() {
			if err := port.answer(ctx, listener, port.secure); err != nil {
				cancel(fmt.Errorf("%s: %w", port.protocol, err))
			}
		})
	}
	<-ctx.Done()
	tasks.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// unheard reports whether nobody can listen to a connection: it comes from this computer, or
// from a member, over a network that knows who calls.
func unheard(conn net.Conn) bool {
	if _, ok := kith.PeerOf(conn); ok {
		return true
	}
	address, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && address.IP.IsLoopback()
}
