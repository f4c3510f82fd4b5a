package mail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	nettextproto "net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"

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

	var files []file
	for _, path := range r.Files {
		files = append(files, fileAt(path))
	}
	reader := composed(header, r.Text, files)
	defer reader.Close()
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

// composed returns a message as it is being written, which the caller closes.
func composed(header gomail.Header, text string, files []file) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(compose(writer, header, text, files)) }()
	return reader
}

// A file is something that a message holds beside its text.
type file struct {
	Name, Kind string
	Open       func() (io.ReadCloser, error)
}

// compose writes a message. Files arrive byte for byte as they are.
func compose(w io.Writer, header gomail.Header, text string, files []file) error {
	if len(files) == 0 {
		header.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
		header.Set("Content-Transfer-Encoding", "quoted-printable")
		body, err := gomail.CreateSingleInlineWriter(w, header)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(body, text); err != nil {
			return err
		}
		return body.Close()
	}
	// Of go-message's own writer the parts have to be in UTF-8.
	parts := multipart.NewWriter(w)
	header.SetContentType("multipart/mixed", map[string]string{"boundary": parts.Boundary()})
	header.Set("MIME-Version", "1.0")
	if err := textproto.WriteHeader(w, header.Header.Header); err != nil {
		return err
	}
	part, err := parts.CreatePart(partHeader("text/plain; charset=utf-8", "quoted-printable", "inline"))
	if err != nil {
		return err
	}
	encoder := quotedprintable.NewWriter(part)
	if _, err := io.WriteString(encoder, text); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	for _, f := range files {
		if err := attach(parts, f); err != nil {
			return err
		}
	}
	return parts.Close()
}

func partHeader(kind, encoding, disposition string) nettextproto.MIMEHeader {
	return nettextproto.MIMEHeader{"Content-Type": {kind}, "Content-Transfer-Encoding": {encoding}, "Content-Disposition": {disposition}}
}

func attach(parts *multipart.Writer, f file) error {
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { content.Close() }()
	encoding := "base64"
	switch media, _, err := mime.ParseMediaType(f.Kind); {
	case err == nil && media == "message/rfc822": // it may not be encoded (RFC 2046 5.2.1)
		encoding = "8bit"
		if !inLines(content) {
			f.Kind, encoding = octets, "base64"
		}
		content.Close()
		if content, err = f.Open(); err != nil {
			return err
		}
	case err != nil, strings.HasPrefix(media, "multipart/"), strings.HasPrefix(media, "message/"):
		f.Kind = octets
	}
	w, err := parts.CreatePart(partHeader(f.Kind, encoding, mime.FormatMediaType("attachment", map[string]string{"filename": f.Name})))
	if err != nil {
		return err
	}
	if encoding == "base64" {
		err = inBase64(w, content)
	} else {
		_, err = io.Copy(w, content)
	}
	if err != nil {
		return fmt.Errorf("attach %s: %w", f.Name, err)
	}
	return nil
}

// inBase64 writes bytes in lines of 76 characters (RFC 2045 6.8).
func inBase64(w io.Writer, r io.Reader) error {
	buffered := bufio.NewReader(r)
	for part := make([]byte, 57); ; {
		n, err := io.ReadFull(buffered, part)
		if n > 0 {
			if _, err := io.WriteString(w, base64.StdEncoding.EncodeToString(part[:n])+"\r\n"); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

const octets = "application/octet-stream"

// inLines reports whether bytes can be sent as they are (RFC 2045 2.8): in lines that end with CRLF, of at most 998
// bytes, none of them NUL; the last line may have no end.
func inLines(r io.Reader) bool {
	lines := bufio.NewReaderSize(r, 1000)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return true
		}
		text, ended := bytes.CutSuffix(line, []byte("\r\n"))
		if err != nil && err != io.EOF || err == nil && !ended || bytes.ContainsAny(text, "\r\x00") {
			return false
		}
	}
}

// fileAt returns a file of this computer.
func fileAt(path string) file {
	return file{filepath.Base(path), mime.TypeByExtension(filepath.Ext(path)), func() (io.ReadCloser, error) {
		opened, err := os.Open(path)
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("there is no file %s: %w", path, kith.NotFound)
		} else if err != nil {
			return nil, fmt.Errorf("attach: %w", err)
		}
		if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() {
			opened.Close()
			return nil, fmt.Errorf("%s is no file: %w", path, kith.Invalid)
		}
		return opened, nil
	}}
}
