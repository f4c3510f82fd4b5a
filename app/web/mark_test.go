package web

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/net/html"
)

func TestMarkPlace(t *testing.T) {
	long := strings.Repeat(" ", markedWithin)
	for _, test := range []struct{ before, after string }{ // the mark stands between
		{"<!doctype html>", "<html>"},
		{"<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">", "<html>"},
		{"\ufeff \n<!-- a > b --> <?xml version=\"1.0\"?>\n<!-->\n<!---><!doctype html>\n", "<title>x</title>"},
		{"<!doctype html>\n<!-- a --><!0> ", "<html>"},
		{"<!-- a --!><!doctype html>", "x"},
		{"<!odd><!doctype html>", "x"},
		{"", "<html><head>"},
		{"", "only words"},
		{"\n ", "<p>"},
		{"", ""},
	} {
		if at, ok := markPlace([]byte(test.before + test.after)); !ok || at != len(test.before) {
			t.Errorf("%q: %d, %v; want %d", test.before+test.after, at, ok, len(test.before))
		}
	}
	for _, text := range []string{"\xff\xfe<\x00", "\xfe\xff\x00<", "<!-- never ends", "<!doctype", "<!doctype><!0", "<?", long} {
		if at, ok := markPlace([]byte(text)); ok {
			t.Errorf("%.20q: %d", text, at)
		}
	}
}

// FuzzMark has the mark leave the document as it is, but for a style sheet in
// its head.
func FuzzMark(f *testing.F) {
	for _, seed := range []string{
		"<!doctype html><html lang=en><head><meta charset=utf-8><title>x</title></head><body class=a><p>x</body></html>",
		"words", "<frameset><frame src=a></frameset>", "<!-- x --><p>", "<svg><style>", "<table><tr>", "<script>", "<body a=b>", "",
	} {
		f.Add(seed)
	}
	mark := markOf("Maple is asleep.")
	f.Fuzz(func(t *testing.T, document string) {
		at, ok := markPlace([]byte(document))
		if !ok || len(document) > 1<<10 || strings.Contains(strings.ToLower(document), "<head") { // whose attributes are lost
			return
		}
		want, err := html.Parse(strings.NewReader(document))
		if err != nil {
			return
		}
		got, err := html.Parse(strings.NewReader(document[:at] + mark + document[at:]))
		if err != nil {
			t.Fatal(err)
		}
		style := find(got, "style")
		if style == nil || style.Parent.Data != "head" {
			t.Fatalf("%q: no style sheet in the head:\n%s", document, render(got))
		}
		style.Parent.RemoveChild(style)
		if strings.Join(strings.Fields(render(got)), "") != strings.Join(strings.Fields(render(want)), "") { // spaces before all else may move
			t.Errorf("%q becomes\n%s, was\n%s", document, render(got), render(want))
		}
	})
}

func find(n *html.Node, name string) *html.Node {
	for n := range n.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			return n
		}
	}
	return nil
}

func render(n *html.Node) string {
	var b strings.Builder
	_ = html.Render(&b, n)
	return b.String()
}

func TestMarked(t *testing.T) {
	document := "<!doctype html>" + strings.Repeat("<p>0123456789", 5000)
	m, err := markHTML(strings.NewReader(document), int64(len(document)), "<style>MARK</style>")
	if err != nil {
		t.Fatal(err)
	}
	want := "<!doctype html><style>MARK</style>" + document[15:]
	if m.size() != int64(len(want)) {
		t.Errorf("size %d, want %d", m.size(), len(want))
	}
	if err := iotest.TestReader(io.NewSectionReader(m, 0, m.size()), []byte(want)); err != nil {
		t.Error(err)
	}
	for _, at := range []int64{0, 14, 15, 16, 33, 34, 100} {
		got := make([]byte, 20)
		if n, err := m.ReadAt(got, at); n != 20 || err != nil || !bytes.Equal(got, []byte(want[at:at+20])) {
			t.Errorf("at %d: %q, %v", at, got[:n], err)
		}
	}
	if _, err := markHTML(iotestReaderAt{}, 10, "x"); err == nil {
		t.Error("what cannot be read is marked")
	}
}

type iotestReaderAt struct{}

func (iotestReaderAt) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }

func TestCopySentence(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, zone)
	for published, want := range map[time.Time]string{
		time.Date(2026, 11, 22, 7, 5, 0, 0, time.UTC):   "today 08:05",
		time.Date(2026, 11, 21, 17, 2, 0, 0, time.UTC):  "yesterday 18:02",
		time.Date(2026, 3, 1, 17, 2, 0, 0, time.UTC):    "1 March 18:02",
		time.Date(2025, 12, 31, 23, 30, 0, 0, time.UTC): "1 January 00:30",
		time.Date(2024, 3, 1, 17, 2, 0, 0, time.UTC):    "1 March 2024",
	} {
		if got := copySentence("maple", "oak", false, published, now); got != "Maple is asleep. This copy is from "+want+", kept by oak." {
			t.Errorf("%v: %s", published, got)
		}
	}
	if got := cssString(`a"</style>\` + "é 1"); got != `a\22 \3c \2f style\3e \5c \e9  1` {
		t.Errorf("in CSS: %s", got)
	}
}
