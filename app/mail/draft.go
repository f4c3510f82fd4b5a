package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	netmail "net/mail"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	gomail "github.com/emersion/go-message/mail"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/address"
	"kith.alt/kith/app/mail/delivery"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// Limits of what is written in the browser.
const (
	maxWritten   = 512 << 10 // bytes of text
	maxSubject   = 500
	maxTyped     = 20_000 // bytes of a list of recipients
	maxCarried   = 200    // files
	maxAncestors = 50     // in References
)

// forwardedHeader names the message that is passed on, as Thunderbird has it.
const forwardedHeader = "X-Forwarded-Message-Id"

func draftPage(content int64) string {
	return writeScreen + "?draft=" + strconv.FormatInt(content, 10)
}

// A written is a message that somebody writes: a form, or a draft. Recipients are as they were typed.
type written struct {
	Draft             int64 // content; 0: it is not kept yet
	From              string
	To, Cc, Bcc       string
	Subject, Text     string
	ID                string   // its Message-ID; all IDs are without angle brackets
	Reply, Forwarded  string   // the message that it answers, or passes on
	References        []string // the messages before it
	Carried           []carried
	added             []file // that come with the form
	missing           bool   // a file that the form names is not there
	ToErr, CcErr, BCE string
}

// A carried is a file that is part of a message of the account: of the draft before, or of one that is passed on.
type carried struct {
	Ref  string `json:"ref"` // "55:1.2": content and part
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// carry returns a file of a message by its reference.
func (m *mail) carry(ctx context.Context, v *visit, ref string) (carried, file, error) {
	text, number, _ := strings.Cut(ref, ":")
	item, parsed, err := m.one(ctx, v, text)
	if err != nil {
		return carried{}, file{}, err
	}
	p, err := find(parsed, number)
	if err != nil {
		return carried{}, file{}, err
	}
	f := (&bodyReader{}).file(located{p, number})
	return carried{ref, f.Name, f.Size}, file{f.Name, kindOfPart(p), func() (io.ReadCloser, error) {
		bytes, err := m.mailboxes.Open(ctx, item.Blob)
		if err != nil {
			return nil, err
		}
		section, err := sectionOf(bytes, p)
		if err == nil {
			section, err = p.Content(section)
		}
		if err != nil {
			bytes.Close()
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{section, bytes}, nil
	}}, nil
}

// kindOfPart is the Content-Type of a part that is passed on: with what is needed to read it, such as the charset of a text.
func kindOfPart(p *message.Part) string {
	params := maps.Clone(p.Params)
	for _, own := range []string{"name", "boundary"} {
		delete(params, own)
	}
	if kind := mime.FormatMediaType(p.Media(), params); kind != "" {
		return kind
	}
	return p.Media()
}

// files returns all files of a message that is written.
func (m *mail) files(ctx context.Context, v *visit, w *written) (files []file, err error) {
	for _, c := range w.Carried {
		_, f, err := m.carry(ctx, v, c.Ref)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		files = append(files, f)
	}
	return append(files, w.added...), nil
}

// header returns the header of a message, without its recipients.
func (m *mail) header(w *written) (gomail.Header, error) {
	var h gomail.Header
	h.SetAddressList("From", []*gomail.Address{{Address: w.From}})
	h.SetSubject(oneLine(w.Subject))
	h.SetDate(time.Now())
	if w.ID == "" {
		if err := m.newID(w); err != nil {
			return h, err
		}
	}
	h.SetMessageID(w.ID)
	if w.Reply != "" {
		h.SetMsgIDList("In-Reply-To", []string{w.Reply})
	}
	if len(w.References) > 0 {
		h.SetMsgIDList("References", w.References)
	}
	return h, nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// keep puts a message into Drafts, in the place of the one that was there before.
func (m *mail) keep(ctx context.Context, v *visit, w *written) error {
	drafts, err := m.special(ctx, v, imap.MailboxAttrDrafts)
	if err != nil {
		return err
	}
	h, err := m.header(w)
	if err != nil {
		return err
	}
	for _, list := range []struct{ name, text string }{{"To", w.To}, {"Cc", w.Cc}, {"Bcc", w.Bcc}} {
		text := oneLine(list.text)
		if addresses, err := gomail.ParseAddressList(text); err == nil {
			h.SetAddressList(list.name, addresses)
		} else if text != "" { // it is being typed
			h.SetText(list.name, text)
		}
	}
	if w.Forwarded != "" {
		h.Set(forwardedHeader, "<"+w.Forwarded+">")
	}
	files, err := m.files(ctx, v, w)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // to it the blob stays that is not kept
	defer cancel()
	reader := composed(h, w.Text, files)
	defer reader.Close()
	blob, err := m.host.Blobs().Write(ctx, reader, delivery.MaxMessage)
	if errors.Is(err, kith.Invalid) {
		return fmt.Errorf("text and files together are too large: a message has at most %d MiB, files a third more than on the disk: %w", delivery.MaxMessage>>20, kith.Quota)
	} else if err != nil {
		return err
	}
	placed, err := m.mailboxes.Append(ctx, v.account, drafts.Name, mailbox.Delivery{Blob: blob, Flags: []imap.Flag{imap.FlagSeen, imap.FlagDraft}})
	if err != nil {
		return err
	}
	before := w.Draft
	w.Draft, w.added = placed.Content, nil
	if err := m.discard(ctx, v, before); err != nil {
		return err
	}
	list, err := m.mailboxes.Content(ctx, v.account, w.Draft)
	if err != nil {
		return err
	}
	w.Carried, err = carriedOf(list[0])
	return err
}

// carriedOf returns the files of a message.
func carriedOf(item mailbox.Item) (list []carried, err error) {
	var parsed message.Message
	if err := parsed.UnmarshalBinary(item.Summary); err != nil {
		return nil, err
	}
	reader := &bodyReader{body: new(body)}
	var files []located
	reader.choose(located{part: parsed.Root}, &files)
	for _, l := range files {
		f := reader.file(l)
		list = append(list, carried{fmt.Sprintf("%d:%s", item.Content, l.name()), f.Name, f.Size})
	}
	return list[:min(len(list), maxCarried)], nil
}

// discard removes a draft, if it is still there.
func (m *mail) discard(ctx context.Context, v *visit, content int64) error {
	if content == 0 {
		return nil
	}
	list, err := m.mailboxes.Content(ctx, v.account, content)
	if errors.Is(err, kith.NotFound) {
		return nil
	} else if err != nil {
		return err
	}
	for _, i := range list {
		if i.Folder != v.use(imap.MailboxAttrDrafts) {
			continue
		}
		if _, err := m.mailboxes.Expunge(ctx, i.Folder, ranges([]imap.UID{i.UID}), true); err != nil {
			return err
		}
	}
	return nil
}

// draft reads a message of the folder Drafts to go on with it.
func (m *mail) draft(ctx context.Context, v *visit, text string) (*written, error) {
	item, parsed, err := m.one(ctx, v, text)
	if err != nil {
		return nil, err
	}
	if item.Folder != v.use(imap.MailboxAttrDrafts) {
		return nil, fmt.Errorf("this message is no draft any more: %w", kith.NotFound)
	}
	bytes, err := m.mailboxes.Open(ctx, item.Blob)
	if err != nil {
		return nil, err
	}
	defer bytes.Close()
	h, err := message.ReadHeader(bytes)
	if err != nil {
		return nil, err
	}
	e := parsed.Envelope
	list := func(name string, addresses []imap.Address) string {
		if _, err := h.List(name); err != nil {
			return h.Text(name)
		}
		var all []string
		for _, a := range addresses {
			all = append(all, typed(a))
		}
		return strings.Join(all, ", ")
	}
	w := &written{Draft: item.Content, From: m.book.Full(v.account), To: list("To", e.To), Cc: list("Cc", e.Cc), Bcc: list("Bcc", e.Bcc), Subject: e.Subject, ID: e.MessageID, References: parsed.References, Forwarded: strings.Trim(h.Text(forwardedHeader), "<> ")}
	if len(e.From) > 0 {
		w.From = e.From[0].Mailbox + "@" + e.From[0].Host
	}
	if len(e.InReplyTo) > 0 {
		w.Reply = e.InReplyTo[0]
	}
	if w.Text, err = m.plain(bytes, parsed, maxWritten); err != nil {
		return nil, err
	}
	w.Carried, err = carriedOf(item)
	return w, err
}

// plain returns what a message says as text.
func (m *mail) plain(bytes io.ReadSeeker, parsed *message.Message, limit int) (string, error) {
	reader := &bodyReader{mail: m, bytes: bytes, asText: true, body: new(body)}
	var files []located
	var b strings.Builder
	for _, l := range reader.choose(located{part: parsed.Root}, &files) {
		text, _, err := reader.text(l.part, max(0, limit-b.Len()))
		if err != nil {
			return "", err
		}
		if l.part.Subtype == "html" {
			text = squeeze(message.Strip(text))
		}
		b.WriteString(strings.ReplaceAll(text, "\r\n", "\n"))
	}
	return b.String(), nil
}

// recipients reads a list as people type it: with commas, semicolons or line ends. It returns what is wrong with it as
// a sentence.
func (m *mail) recipients(ctx context.Context, text string) (list []*gomail.Address, problem string) {
	if len(text) > maxTyped {
		return nil, fmt.Sprintf("The list has at most %d characters.", maxTyped)
	}
	for _, one := range splitList(text) {
		to, err := m.recipient(ctx, one)
		if err != nil {
			return list, clip(kith.Sentence(err), 300)
		}
		list = append(list, to)
	}
	return list, ""
}

// splitList parts a list of recipients where it is not within quotes.
func splitList(text string) (list []string) {
	quoted := false
	for _, one := range strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ',' || r == ';' || r == '\n' || r == '\r')
	}) {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}

// post sends a message. Where a recipient is wrong, it says so in w and reports false.
func (m *mail) post(ctx context.Context, v *visit, w *written) (sent bool, err error) {
	h, err := m.header(w)
	if err != nil {
		return false, err
	}
	var all []delivery.Recipient
	for _, field := range []struct {
		name, text string
		problem    *string
	}{{"To", w.To, &w.ToErr}, {"Cc", w.Cc, &w.CcErr}, {"Bcc", w.Bcc, &w.BCE}} {
		var list []*gomail.Address
		if list, *field.problem = m.recipients(ctx, field.text); len(list) > 0 && field.name != "Bcc" {
			h.SetAddressList(field.name, list)
		}
		for _, to := range list {
			all = append(all, delivery.Recipient{Address: to.Address})
		}
	}
	if len(all) == 0 && w.ToErr == "" {
		w.ToErr = "Say whom it is for."
	}
	if len(all) > delivery.MaxRecipients && w.ToErr == "" {
		w.ToErr = fmt.Sprintf("A message has at most %d recipients; make a list of them.", delivery.MaxRecipients)
	}
	if w.ToErr+w.CcErr+w.BCE != "" {
		return false, nil
	}
	files, err := m.files(ctx, v, w)
	if err != nil {
		return false, err
	}
	reader := composed(h, w.Text, files)
	defer reader.Close()
	err = m.delivery.Submit(ctx, delivery.Submission{Account: v.account, Sender: w.From, Recipients: all, Message: reader, KeepSent: true})
	if err != nil {
		return false, err
	}
	m.mark(ctx, v, w.Reply, imap.FlagAnswered)
	m.mark(ctx, v, w.Forwarded, imap.FlagForwarded)
	return true, m.discard(ctx, v, w.Draft)
}

// mark notes at a message that it was answered or passed on. It is sent already, so what fails is logged alone.
func (m *mail) mark(ctx context.Context, v *visit, messageID string, flag imap.Flag) {
	if messageID == "" {
		return
	}
	list, err := m.mailboxes.Named(ctx, v.account, messageID)
	for _, i := range list {
		if _, failed := m.mailboxes.SetFlags(ctx, i.Folder, ranges([]imap.UID{i.UID}), imap.StoreFlagsAdd, []imap.Flag{flag}); failed != nil {
			err = failed
		}
	}
	if err != nil {
		m.host.Log().Warn("an answered message is not marked", "err", err)
	}
}

// read takes a message from a form. It fails with kind Invalid or Quota.
func (m *mail) read(r *http.Request, v *visit) (*written, error) {
	const memory = 1 << 20 // the rest goes to temporary files
	if err := r.ParseMultipartForm(memory); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return nil, fmt.Errorf("the form arrived incomplete (%v): %w", err, kith.Invalid)
	}
	w := &written{From: r.PostFormValue("from"), To: r.PostFormValue("to"), Cc: r.PostFormValue("cc"), Bcc: r.PostFormValue("bcc"), Subject: clip(r.PostFormValue("subject"), maxSubject), Text: r.PostFormValue("text")}
	w.Draft, _ = strconv.ParseInt(r.PostFormValue("draft"), 10, 64)
	w.ID, w.Reply, w.Forwarded = idOf(r.PostFormValue("id")), idOf(r.PostFormValue("reply")), idOf(r.PostFormValue("forwarded"))
	for id := range strings.FieldsSeq(r.PostFormValue("references")) {
		if id = idOf(id); id != "" && len(w.References) < maxAncestors {
			w.References = append(w.References, id)
		}
	}
	if len(w.Text) > maxWritten {
		return w, fmt.Errorf("a text has at most %d KiB; attach it as a file: %w", maxWritten>>10, kith.Quota)
	}
	if a, err := netmail.ParseAddress(w.From); err != nil || m.delivery.CheckSender(r.Context(), v.account, a.Address) != nil {
		w.From = m.book.Full(v.account)
	}
	for _, ref := range r.PostForm["keep"] {
		c, _, err := m.carry(r.Context(), v, ref)
		if errors.Is(err, kith.NotFound) {
			w.missing = true
			continue
		} else if err != nil {
			return w, err
		}
		w.Carried = append(w.Carried, c)
	}
	if r.MultipartForm == nil {
		return w, nil
	}
	for _, uploaded := range r.MultipartForm.File["files"] {
		if uploaded.Filename == "" && uploaded.Size == 0 {
			continue // nothing was chosen
		}
		name := fileName(&message.Part{Params: map[string]string{"name": uploaded.Filename}})
		kind := mime.TypeByExtension(path.Ext(name))
		if kind == "" {
			kind = uploaded.Header.Get("Content-Type")
		}
		w.added = append(w.added, file{name, kind, func() (io.ReadCloser, error) { return uploaded.Open() }})
	}
	if len(w.Carried)+len(w.added) > maxCarried {
		return w, fmt.Errorf("a message written here has at most %d files: %w", maxCarried, kith.Quota)
	}
	return w, nil
}

// idOf returns a Message-ID of a form, "" for what cannot be one.
func idOf(text string) string {
	if len(text) > 900 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r >= 0x7f }) {
		return ""
	}
	return text
}

// own reports whether an address is one of the account's.
func (m *mail) own(ctx context.Context, v *visit, a imap.Address) bool {
	return m.delivery.CheckSender(ctx, v.account, a.Mailbox+"@"+a.Host) == nil
}

// suggestions are the people, and the lists of this host, that a message can be for.
func (m *mail) suggestions(ctx context.Context) (list []suggestion) {
	name := m.host.Name()
	for _, member := range m.host.Members() {
		for _, account := range member.Accounts {
			list = append(list, suggestion{account + "@" + member.Host, ""})
		}
	}
	if lists, err := m.book.Lists(ctx); err == nil {
		for _, l := range lists {
			list = append(list, suggestion{l.Name + "@" + name.Host, fmt.Sprintf("a list, %d members", len(l.Members))})
		}
	}
	if aliases, err := m.book.Aliases(ctx); err == nil {
		for _, a := range aliases {
			list = append(list, suggestion{a.Name + "@" + name.Host, a.Account})
		}
	}
	slices.SortFunc(list, func(a, b suggestion) int { return strings.Compare(a.Address, b.Address) })
	return append(list, suggestion{address.Everybody + "@" + name.Group + "." + kith.Domain, "everybody in " + name.Group})
}

// A suggestion is somebody to write to.
type suggestion struct{ Address, Note string }
