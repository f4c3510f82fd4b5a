package message

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const mixed = "From: a@b\r\nSubject: =?iso-8859-1?q?caf=E9?=\r\nContent-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\npreamble\r\n--b 1\r\n" +
	"Content-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\n\r\nplain words\r\n--b2\r\nContent-Type: text/html\r\n\r\n<p>marked <b>up</b></p>\r\n--b2--\r\nepilogue\r\n" +
	"--b 1  \r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/digest; boundary=b3\r\n\r\n--b3\r\n\r\nSubject: in a digest\r\n\r\ndigested\r\n--b3--\r\n" +
	"--b 1\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\nnot words\r\n--b 1--\r\nthe end\r\n"

func parse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParts(t *testing.T) {
	m := parse(t, mixed)
	for _, test := range []struct {
		section []int
		media   string
		body    string
	}{
		{[]int{1}, "multipart/alternative", "--b2\r\n\r\nplain words\r\n--b2\r\nContent-Type: text/html\r\n\r\n<p>marked <b>up</b></p>\r\n--b2--\r\nepilogue"},
		{[]int{1, 1}, "text/plain", "plain words"},
		{[]int{1, 2}, "text/html", "<p>marked <b>up</b></p>"},
		{[]int{2, 1}, "message/rfc822", "Subject: in a digest\r\n\r\ndigested"},
		{[]int{2, 1, 1}, "text/plain", "digested"},
		{[]int{3}, "text/plain", "not words"},
		{[]int{4}, "", ""},
		{[]int{0}, "", ""},
		{[]int{3, 1}, "", ""},
		{[]int{2, 1, 1, 1}, "", ""},
		{nil, "multipart/mixed", mixed[strings.Index(mixed, "preamble"):]},
	} {
		part := m.Root.Find(test.section)
		switch {
		case part == nil:
			if test.media != "" {
				t.Errorf("there is no %v", test.section)
			}
		case part.Media() != test.media || mixed[part.Body:part.End] != test.body:
			t.Errorf("%v is %s, %q", test.section, part.Media(), mixed[part.Body:part.End])
		}
	}
	if m.Envelope.Subject != "café" || m.Size != int64(len(mixed)) || m.Root.Attachments() != 1 {
		t.Errorf("%+v", m)
	}
	text, err := m.Text(strings.NewReader(mixed), 1000)
	if want := "plain words|marked up|inner|in a digest|digested"; err != nil || strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "|") != want {
		t.Errorf("words %q, %v", text, err)
	}
}

// TestBroken has messages that nobody should send.
func TestBroken(t *testing.T) {
	deep := ""
	for range 2000 {
		deep += "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
	}
	wide := "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\na\r\n", 5000)
	nested := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 2000)
	for _, test := range []struct{ name, raw, subject, media, text string }{
		{"nothing", "", "", "text/plain", ""},
		{"no header", "\r\nbody", "", "text/plain", "body"},
		{"no body", "Subject: x", "x", "text/plain", ""},
		{"bare LF", "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n", "x", "multipart/mixed", "one"},
		{"8-bit header", "Subject: caf\xe9\r\n\r\nx", "café", "text/plain", "x"},
		{"8-bit body", "\r\ncaf\xe9", "", "text/plain", "café"},
		{"NUL and CR", "Subject: a\x00b\rc\r\n\r\nx", "a b c", "text/plain", "x"},
		{"no colon", "garbage\r\nSubject: x\r\n\r\ny", "x", "text/plain", "y"},
		{"unknown charset", "Content-Type: text/plain; charset=klingon\r\n\r\nx", "", "text/plain", "x"},
		{"unknown encoding", "Content-Transfer-Encoding: rot13\r\n\r\nx", "", "text/plain", ""},
		{"broken base64", "Content-Transfer-Encoding: base64\r\n\r\naGVsbG8*gd29y!", "", "text/plain", "hello wor"},
		{"no boundary", "Content-Type: multipart/mixed\r\n\r\nx", "", "text/plain", "x"},
		{"boundary that never comes", "Content-Type: multipart/mixed; boundary=b\r\n\r\nx", "", "text/plain", "x"},
		{"broken type", "Content-Type: ;;;\r\n\r\nx", "", "text/plain", "x"},
		{"broken parameter", "Content-Type: multipart/mixed; a=\"; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--", "", "multipart/mixed", "one"},
		{"deep", deep, "", "multipart/mixed", ""},
		{"wide", wide, "", "multipart/mixed", "a\na"},
		{"nested", nested, "", "message/rfc822", ""},
		{"long header", "Subject: x\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\nz", "x", "text/plain", "z"},
		{"many fields", strings.Repeat("X: y\r\n", 100000) + "\r\nz", "", "text/plain", "z"},
		{"long line", "\r\n" + strings.Repeat("y", 1<<20) + "\r\nz", "", "text/plain", "yyy"},
	} {
		m := parse(t, test.raw)
		if m.Envelope.Subject != test.subject || m.Root.Media() != test.media || m.Size != int64(len(test.raw)) {
			t.Errorf("%s: %q, %s, %d bytes", test.name, m.Envelope.Subject, m.Root.Media(), m.Size)
		}
		if text, err := m.Text(strings.NewReader(test.raw), 10000); err != nil || !strings.Contains(text, test.text) {
			t.Errorf("%s: text %.80q, %v", test.name, text, err)
		}
	}
	failure := errors.New("the disk is broken")
	if _, err := Parse(io.MultiReader(strings.NewReader(mixed), iotest.ErrReader(failure))); !errors.Is(err, failure) {
		t.Errorf("a broken reader: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for raw, want := range map[string]string{
		`ann@maple`:                        "<ann@maple>",
		`"Ross, Bob" <bob@oak>, ann@maple`: "Ross, Bob <bob@oak>, <ann@maple>",
		`=?utf-8?q?J=C3=BCrgen?= <j@oak>`:  "Jürgen <j@oak>",
		`friends: a@b, c@d;`:               "<a@b>, <c@d>",
		`Bob <bob@oak>, <<nonsense`:        "Bob <bob@oak>",
		`Dr. X. <x@y`:                      "Dr. X. <x@y>",
		"Caf\xe9 <c@d>":                    "Café <c@d>",
		`undisclosed-recipients:;`:         "",
		``:                                 "",
	} {
		if got := Addresses(Header{{"To", raw}}.addresses("to")); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// same checks that what is stored says what was parsed.
func same(t *testing.T, m *Message) {
	t.Helper()
	data, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back Message
	if err := back.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	again, _ := back.MarshalBinary()
	if back.Root.Structure(); string(again) != string(data) {
		t.Errorf("%+v comes back as %+v", m, back)
	}
}

// FuzzParse reads anything, and keeps what it finds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{mixed, "", "\r\n", "Subject: x\n\ny", "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/x; boundary=\"\"\r\n\r\n--\r\n",
		"Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nFrom: <@@>, x:;\r\nReferences: <a><b>\r\nContent-Disposition: a; filename*=utf-8''x\r\n\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m := parse(t, raw)
		same(t, m)
		var check func(p *Part, from, to int64)
		check = func(p *Part, from, to int64) {
			if p.Header < from || p.Body < p.Header || p.End < p.Body || p.End > to {
				t.Errorf("a part of %q is from %d by %d to %d, within %d and %d", raw, p.Header, p.Body, p.End, from, to)
			}
			for _, child := range p.Parts {
				check(child, p.Body, p.End)
			}
			if p.Message != nil {
				check(p.Message, p.Body, p.End)
			}
		}
		check(m.Root, 0, int64(len(raw)))
		if _, err := m.Text(strings.NewReader(raw), 100); err != nil {
			t.Error(err)
		}
	})
}

// FuzzUnmarshal reads what nobody wrote.
func FuzzUnmarshal(f *testing.F) {
	data, _ := parse(f, mixed).MarshalBinary()
	f.Add(data)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		if err := m.UnmarshalBinary(data); err != nil && !errors.Is(err, ErrCodec) {
			t.Error(err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(mixed)))
	for b.Loop() {
		m := parse(b, mixed)
		m.MarshalBinary()
	}
}

// TestFolded reads fields of many lines. Of a hostile one it takes no longer than of its bytes: otherwise this test
// takes minutes.
// TestHeadersAreBounded has a message of headers: little is kept of them.
func TestHeadersAreBounded(t *testing.T) {
	part := "--b\r\nContent-Type: text/plain"
	for n := range 31 {
		part += fmt.Sprintf(";\r\n p%d=\"%s\"", n, strings.Repeat("x", 4000))
	}
	m := parse(t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n"+strings.Repeat(part+"\r\n\r\n\r\n", 200)+"--b--\r\n")
	data, err := m.MarshalBinary()
	if err != nil || len(data) > 2*maxHeaders || len(m.Root.Parts) != 200 {
		t.Errorf("%d bytes, %d parts, %v", len(data), len(m.Root.Parts), err)
	}
}

func TestFolded(t *testing.T) {
	for raw, want := range map[string]Header{
		"Subject: a\r\n b\r\n\tc \r\nTo: d\r\n":         {{"Subject", "a b\tc"}, {"To", "d"}},
		"Subject:\r\n a\r\n":                            {{"Subject", "a"}},
		" a\r\nSubject: b\r\n":                          {{"Subject", "b"}},
		"Subject: a\r\nno field\r\n of it\r\nTo: b\r\n": {{"Subject", "a"}, {"To", "b"}},
		"Subject: a" + strings.Repeat("\n ", 2<<20):     {{"Subject", "a"}},
	} {
		if got := ParseHeader([]byte(raw)); !slices.Equal(got, want) {
			t.Errorf("%.40q: %.100q", raw, got)
		}
	}
}

func TestBoundary(t *testing.T) {
	for value, want := range map[string]string{
		"multipart/mixed; boundary=a":              "a",
		"multipart/mixed; boundary*=utf-8''%00x":   "",
		"multipart/mixed; boundary=\"a\tb\"":       "",
		"multipart/mixed; boundary*=utf-8''%41%42": "AB",
	} {
		if _, params := media(value); params["boundary"] != want {
			t.Errorf("%s: %q", value, params["boundary"])
		}
	}
}
