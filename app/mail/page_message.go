package mail

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/app/mail/html"
	"kith.alt/kith/app/mail/message"
)

// The parts of a message, each as a document of its own that cannot run, load or change anything.

// partPolicy is for what is downloaded, and for pictures.
const partPolicy = "default-src 'none'; sandbox; frame-ancestors 'none'"

// find returns the part of a message that an address names.
func find(parsed *message.Message, text string) (*message.Part, error) {
	var section []int
	for number := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(number)
		if err != nil || len(section) > 100 {
			return nil, fmt.Errorf("the message has no such part: %w", kith.NotFound)
		}
		section = append(section, n)
	}
	if p := parsed.Root.Find(section); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("the message has no such part: %w", kith.NotFound)
}

// messageHTML serves the HTML of a message for the frame that shows it.
func (m *mail) messageHTML(w http.ResponseWriter, r *http.Request, v *visit) error {
	item, parsed, err := m.one(r.Context(), v, r.PathValue("content"))
	if err != nil {
		return err
	}
	p, err := find(parsed, r.FormValue("part"))
	if err != nil {
		return err
	}
	if p.Media() != "text/html" {
		return fmt.Errorf("this part of the message is no HTML: %w", kith.NotFound)
	}
	bytes, err := m.mailboxes.Open(r.Context(), item.Blob)
	if err != nil {
		return err
	}
	defer bytes.Close()
	section, err := sectionOf(bytes, p)
	if err != nil {
		return err
	}
	text, _, err := p.Read(section, html.MaxInput)
	if err != nil {
		return err
	}
	pictures := &gallery{ctx: r.Context(), bytes: bytes, parts: images(located{part: parsed.Root}), left: maxPictures, drawn: make(map[string]string)}
	clean := m.cleaner.Clean(text, pictures.draw)
	theme := html.Both
	if cookie, err := r.Cookie("kith_theme"); err == nil && (cookie.Value == html.Light || cookie.Value == html.Dark) {
		theme = cookie.Value
	}
	h := w.Header()
	h.Set("Content-Security-Policy", html.Policy)
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, html.Document(clean, theme)) // fails where the reader has gone
	return nil
}

// messageSource serves a message byte for byte, to be read or to be kept.
func (m *mail) messageSource(w http.ResponseWriter, r *http.Request, v *visit) error {
	item, parsed, err := m.one(r.Context(), v, r.PathValue("content"))
	if err != nil {
		return err
	}
	bytes, err := m.mailboxes.Open(r.Context(), item.Blob)
	if err != nil {
		return err
	}
	defer bytes.Close()
	h := w.Header()
	h.Set("Content-Security-Policy", partPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if r.FormValue("download") != "" {
		h.Set("Content-Type", "message/rfc822")
		h.Set("Content-Disposition", disposition("attachment", fileName(&message.Part{Params: map[string]string{"name": clip(parsed.Envelope.Subject, 60) + ".eml"}})))
	}
	h.Set("Content-Length", strconv.FormatInt(item.Size, 10))
	_, _ = io.Copy(w, bytes) // fails where the reader has gone
	return nil
}

// messagePart serves an attachment: to be kept, or, if it is a picture, to be shown.
func (m *mail) messagePart(w http.ResponseWriter, r *http.Request, v *visit) error {
	item, parsed, err := m.one(r.Context(), v, r.PathValue("content"))
	if err != nil {
		return err
	}
	p, err := find(parsed, r.PathValue("part"))
	if err != nil {
		return err
	}
	bytes, err := m.mailboxes.Open(r.Context(), item.Blob)
	if err != nil {
		return err
	}
	defer bytes.Close()
	section, err := sectionOf(bytes, p)
	if err != nil {
		return err
	}
	content, err := p.Content(section)
	if err != nil { // as it came, for whoever knows the encoding
		content = section
	}
	h := w.Header()
	h.Set("Content-Security-Policy", partPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.FormValue("show") != "" && safePicture(p.Media()) {
		left := maxThumb
		raw, _ := io.ReadAll(io.LimitReader(content, int64(left))) // what came before an error
		if http.DetectContentType(raw) != p.Media() {
			return fmt.Errorf("this is no picture: %w", kith.NotFound)
		}
		h.Set("Content-Type", p.Media())
		h.Set("Cache-Control", "private, max-age=3600")
		h.Set("Content-Disposition", disposition("inline", fileName(p)))
		_, _ = w.Write(raw) // fails where the reader has gone
		return nil
	}
	media := mime.FormatMediaType(p.Media(), nil)
	if media == "" || p.Multipart() {
		media = "application/octet-stream"
	}
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", disposition("attachment", fileName(p)))
	_, _ = io.Copy(w, content) // what is malformed ends early, as does a reader who has gone
	return nil
}

// disposition writes a Content-Disposition (RFC 6266 4).
func disposition(kind, name string) string {
	if text := mime.FormatMediaType(kind, map[string]string{"filename": name}); text != "" {
		return text
	}
	return kind
}
