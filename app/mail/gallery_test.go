package mail

import (
	"bytes"
	"encoding/base64"
	"io"
	"testing"

	"kith.alt/kith/app/mail/message"
)

// A counted reader counts how often it is read from a place.
type counted struct {
	io.ReadSeeker
	seeks int
}

func (c *counted) Seek(offset int64, whence int) (int64, error) {
	c.seeks++
	return c.ReadSeeker.Seek(offset, whence)
}

// TestGallery has a text show its pictures many times over: each is read once, and all together are bounded.
func TestGallery(t *testing.T) {
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 3000)...)
	raw := []byte("Content-Type: multipart/related; boundary=x\r\n\r\n--x\r\nContent-Type: image/png\r\nContent-ID: <good>\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(png) + "\r\n--x\r\nContent-Type: image/png\r\nContent-ID: <bad>\r\n\r\nno picture\r\n--x--\r\n")
	parsed, err := message.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	reader := &counted{ReadSeeker: bytes.NewReader(raw)}
	g := &gallery{ctx: t.Context(), bytes: reader, parts: images(located{part: parsed.Root}), left: maxPictures, drawn: make(map[string]string)}
	total := 0
	for range 10_000 {
		shown, ok := g.draw("good")
		if total += len(shown); ok != (shown != "") {
			t.Fatalf("%v, %.20q", ok, shown)
		}
		if _, ok := g.draw("bad"); ok {
			t.Fatal("what is no picture is shown")
		}
		if _, ok := g.draw("none"); ok {
			t.Fatal("what is not there is shown")
		}
	}
	if reader.seeks != 2 || total > maxPictures || total < maxPictures-5000 {
		t.Errorf("read %d times, %d bytes shown", reader.seeks, total)
	}
}
