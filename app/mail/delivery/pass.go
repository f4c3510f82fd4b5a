package delivery

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/mailbox"
	"kith.alt/kith/app/mail/message"
)

// passOn plans to send a message again to others, as e says, with more lines in front of its header. It goes in the name of
// by, an address of this host, if its authors are of others.
func (d *Delivery) passOn(ctx context.Context, tx *sql.Tx, e Envelope, blob kith.Blob, by, lines string, to []string, c course) (*plan, error) {
	passed, err := d.rewrite(ctx, blob, by, d.received("", "")+lines)
	if err != nil {
		return nil, err
	}
	again := Envelope{Sender: e.Sender, Return: e.Return, ID: e.ID, Arrived: time.Now().UTC().Truncate(time.Second)}
	for _, text := range to {
		again.Recipients = append(again.Recipients, Recipient{Address: text})
	}
	return d.planAt(ctx, tx, again, passed, c.further())
}

// rewrite writes a message that is passed on.
func (d *Delivery) rewrite(ctx context.Context, blob kith.Blob, by, lines string) (kith.Blob, error) {
	content, err := d.host.Blobs().Open(ctx, blob.ID)
	if err != nil {
		return kith.Blob{}, err
	}
	defer content.Close()
	r := bufio.NewReaderSize(content, 64<<10)
	raw, rest, err := readHeader(r)
	if err != nil {
		return kith.Blob{}, err
	}
	h, own := message.ParseHeader(raw), d.host.ID()
	if !d.allOf(own, h, "From") || h.Get("Sender") != "" && !d.allOf(own, h, "Sender") {
		raw = inTheNameOf(by, raw, h)
	}
	return d.host.Blobs().Write(ctx, io.MultiReader(strings.NewReader(lines), bytes.NewReader(raw), strings.NewReader("\r\n"), bytes.NewReader(rest), r), mailbox.MaxMessage)
}

// inTheNameOf returns the lines of a header with by as the author: "Bob via film" <film@maple…>. No host can
// prove who wrote what is of another one, so it says who passed it on. Answers go to the author, who stays in
// Original-From (RFC 5703 6).
func inTheNameOf(by string, raw []byte, h message.Header) []byte {
	const maxName = 60 // bytes
	author := h.Text("From")
	if list, err := h.List("From"); err == nil && len(list) > 0 {
		if author = list[0].Name; author == "" {
			author = list[0].Address
		}
	}
	if author == "" {
		author = "nobody"
	}
	if len(author) > maxName {
		author = author[:maxName]
	}
	account, _, _ := strings.Cut(by, "@")
	from := mail.Address{Name: strings.ToValidUTF8(author, "") + " via " + account, Address: by}

	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\n", &from)
	original := value(raw, "From")
	if len(original) > 0 && h.Get("Reply-To") == "" {
		fmt.Fprintf(&b, "Reply-To: %s", original)
	}
	if len(original) > 0 && h.Get("Original-From") == "" {
		fmt.Fprintf(&b, "Original-From: %s", original)
	}
	b.Write(without(raw, "From", "Sender"))
	return b.Bytes()
}
