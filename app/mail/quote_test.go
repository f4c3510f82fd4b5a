package mail

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestFold(t *testing.T) {
	long := strings.Repeat("> line\r\n", 9)
	for _, c := range []struct{ name, text, want string }{
		{"plain", "Hello\r\n\r\nBye\r\n", "Hello\n\nBye"},
		{"answer above", "Yes.\r\n\r\nOn Mon, 2 Nov 2026, Bob wrote:\r\n> May I?\r\n", "Yes.|[On Mon, 2 Nov 2026, Bob wrote:\nMay I?]"},
		{"broken attribution", "Yes.\n\nOn Mon, 2 Nov 2026 at 10:00,\nBob Ross <bob@oak> wrote:\n> May I?\n", "Yes.|[On Mon, 2 Nov 2026 at 10:00,\nBob Ross &lt;bob@oak&gt; wrote:\nMay I?]"},
		{"answers between", "> one\n\nYes.\n\n> two\n> three\n\nNo.\n", "(one)|Yes.|(two\nthree)|No."},
		{"long", long + "\nYes.\n", "[" + strings.TrimSuffix(strings.Repeat("line\n", 9), "\n") + "]|Yes."},
		{"only quoted", "> a\n>> b\n", "(a\n&gt; b)"},
		{"original", "Yes.\n-----Original Message-----\nFrom: Bob\n\nMay I?\n", "Yes.|[-----Original Message-----\nFrom: Bob\n\nMay I?]"},
		{"nothing", "\r\n\r\n", ""},
	} {
		var parts []string
		for _, b := range fold(c.text) {
			text := stripLinks(string(b.Text))
			switch {
			case b.Folded:
				text = "[" + text + "]"
			case b.Quoted:
				text = "(" + text + ")"
			}
			parts = append(parts, text)
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func stripLinks(text string) string {
	for _, piece := range []string{`</a>`} {
		text = strings.ReplaceAll(text, piece, "")
	}
	for {
		before, rest, ok := strings.Cut(text, "<a ")
		if !ok {
			return text
		}
		_, after, _ := strings.Cut(rest, ">")
		text = before + after
	}
}

func TestLinked(t *testing.T) {
	for text, want := range map[string]string{
		"see https://oak.example/a?b=1&c=(d). <b>": `see <a href="https://oak.example/a?b=1&amp;c=(d)" target="_blank" rel="noopener noreferrer">https://oak.example/a?b=1&amp;c=(d)</a>. &lt;b&gt;`,
		"(http://x)":                           `(<a href="http://x" target="_blank" rel="noopener noreferrer">http://x</a>)`,
		"bob@oak, please":                      `<a href="/mail/write?to=bob%40oak">bob@oak</a>, please`,
		"javascript:alert(1)":                  `javascript:alert(1)`,
		"MAILTO:bob@oak?subject=Hello%20World": `<a href="/mail/write?to=bob%40oak%3Fsubject%3DHello%2520World">MAILTO:bob@oak?subject=Hello%20World</a>`,
		"[see (http://x/[1])]!":                `[see (<a href="http://x/[1]" target="_blank" rel="noopener noreferrer">http://x/[1]</a>)]!`,
		"mailto:bob@oak":                       `<a href="/mail/write?to=bob%40oak">mailto:bob@oak</a>`,
		`https://x"onclick=y`:                  `<a href="https://x" target="_blank" rel="noopener noreferrer">https://x</a>&#34;onclick=y`,
	} {
		if got := string(linked(text)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, seed := range []string{"a\n> b\n\n> c\nd", "On x wrote:\n> y", "https://x/<script>\"' mailto:a@b", "-----Original Message-----\n>", "> \r> \r\n\n\n>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var words strings.Builder
		for _, b := range fold(text) {
			root, err := html.Parse(strings.NewReader("<!doctype html><body>" + string(b.Text)))
			if err != nil {
				t.Fatal(err)
			}
			for n := range root.Descendants() {
				switch {
				case n.Type == html.TextNode:
					words.WriteString(n.Data + "\n")
				case n.Type == html.ElementNode && n.Data == "a":
					if href := n.Attr[0].Val; !strings.HasPrefix(strings.ToLower(href), "http") && !strings.HasPrefix(href, "/mail/write?to=") {
						t.Errorf("a link to %q", href)
					}
				case n.Type == html.ElementNode && n.Data != "html" && n.Data != "head" && n.Data != "body":
					t.Errorf("an element %s", n.Data)
				}
			}
		}
		// Nothing but signs of quotation and spaces is lost.
		for word := range strings.FieldsSeq(strings.NewReplacer(">", " ", "\x00", " ", "\ufffd", " ").Replace(strings.ToValidUTF8(text, " "))) {
			if !strings.Contains(strings.Join(strings.Fields(strings.NewReplacer(">", " ", "\ufffd", " ").Replace(words.String())), ""), word) {
				t.Errorf("%q is lost in %q", word, words.String())
			}
		}
	})
}

func TestUnflow(t *testing.T) {
	for text, want := range map[string]string{
		"one \r\ntwo\r\nthree":             "one two\nthree",
		"> one \r\n> two\r\n>> three \r\n": "> one two\n>> three \n",
		" > stuffed \r\n From":             "> stuffed From",
		"Bye \r\n-- \r\nBob":               "Bye \n-- \nBob",
	} {
		if got := unflow(text, false); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := unflow("for \nget", true); got != "forget" {
		t.Errorf("%q", got)
	}
}
