package mail

import (
	"context"
	"fmt"
	"io"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"time"

	gomail "github.com/emersion/go-message/mail"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
)

// A sendRequest is a message that a person writes. Without an account it is from the first one.
type sendRequest struct {
	Account string   `json:"account"`
	To      []string `json:"to"`
	Cc      []string `json:"cc"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
	Files   []string `json:"files"` // paths on this computer
}

// A Sent is what became of it.
type Sent struct {
	From string   `json:"from"`
	To   []string `json:"to"` // all recipients
}

// send composes a message and takes it, with a copy in the folder Sent.
func (m *mail) send(ctx context.Context, r sendRequest) (Sent, error) {
	account, err := m.account(ctx, r.Account)
	if err != nil {
		return Sent{}, err
	}
	sent := Sent{From: m.book.Full(account)}
	var header gomail.Header
	header.SetAddressList("From", []*gomail.Address{{Address: sent.From}})
	for _, field := range []struct {
		name string
		list []string
	}{{"To", r.To}, {"Cc", r.Cc}} {
		var list []*gomail.Address
		for _, text := range field.list {
			to, err := m.recipient(ctx, text)
			if err != nil {
				return Sent{}, err
			}
			list, sent.To = append(list, to), append(sent.To, to.Address)
		}
		if len(list) > 0 {
			header.SetAddressList(field.name, list)
		}
	}
	header.SetDate(time.Now())
	header.SetSubject(r.Subject)

	reader, writer := io.Pipe()
	defer reader.Close()
	go func() { writer.CloseWithError(compose(writer, header, r)) }()
	submission := delivery.Submission{Account: account, Sender: sent.From, Message: reader, KeepSent: true}
	for _, to := range sent.To {
		submission.Recipients = append(submission.Recipients, delivery.Recipient{Address: to})
	}
	return sent, m.delivery.Submit(ctx, submission)
}

// recipient reads "bob@oak" or "Bob <bob@oak>". It fails where mail goes nowhere.
func (m *mail) recipient(ctx context.Context, text string) (*gomail.Address, error) {
	to := &gomail.Address{Address: text}
	if named, err := netmail.ParseAddress(text); err == nil {
		to = &gomail.Address{Name: named.Name, Address: named.Address}
	}
	if err := m.delivery.CheckRecipient(ctx, to.Address); err != nil {
		return nil, err
	}
	a, err := address.Parse(to.Address)
	if err != nil {
		return nil, err
	}
	to.Address = m.book.Complete(a)
	return to, nil
}

// compose writes a message.
func compose(w io.Writer, header gomail.Header, r sendRequest) error {
	text := func(w io.WriteCloser, err error) error {
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, r.Text); err != nil {
			return err
		}
		return w.Close()
	}
	if len(r.Files) == 0 {
		header.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
		header.Set("Content-Transfer-Encoding", "quoted-printable")
		return text(gomail.CreateSingleInlineWriter(w, header))
	}
	parts, err := gomail.CreateWriter(w, header)
	if err != nil {
		return err
	}
	var inline gomail.InlineHeader
	inline.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	if err := text(parts.CreateSingleInline(inline)); err != nil {
		return err
	}
	for _, path := range r.Files {
		if err := attach(parts, path); err != nil {
			return err
		}
	}
	return parts.Close()
}

func attach(parts *gomail.Writer, path string) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return fmt.Errorf("there is no file %s: %w", path, kith.NotFound)
	} else if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file: %w", path, kith.Invalid)
	}
	kind := mime.TypeByExtension(filepath.Ext(path))
	if kind == "" {
		kind = "application/octet-stream"
	}
	var header gomail.AttachmentHeader
	header.Set("Content-Type", kind)
	header.SetFilename(filepath.Base(path))
	w, err := parts.CreateAttachment(header)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("attach %s: %w", path, err)
	}
	return w.Close()
}
