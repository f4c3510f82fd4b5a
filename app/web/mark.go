package web

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"
)

// The mark of a copy is a style sheet at the very beginning of the document
// that draws one sentence at the foot of the window. It has no element that
// scripts or style sheets of the page could meet, takes no clicks, and stands
// before any Content-Security-Policy in the document, which holds for what
// follows it.
const markStyle = `<style>html:root:root::after{all:initial!important;content:"%s"!important;position:fixed!important;` +
	`inset:auto auto 12px 50%%!important;transform:translateX(-50%%)!important;z-index:2147483647!important;pointer-events:none!important;` +
	`box-sizing:border-box!important;width:max-content!important;max-width:calc(100vw - 24px)!important;padding:6px 14px!important;` +
	`border:1px solid #fff4!important;border-radius:8px!important;background:#26231fee!important;color:#fff!important;` +
	`font:13px/1.5 system-ui,sans-serif!important;text-align:center!important}` +
	`@media print{html:root:root::after{position:static!important;display:block!important;transform:none!important;margin-top:12px!important}}</style>`

// markOf returns the mark that says a sentence.
func markOf(sentence string) string { return fmt.Sprintf(markStyle, cssString(sentence)) }

// cssString writes text as the inside of a CSS string that is safe within HTML
// and in every encoding.
func cssString(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == ' ' || r == '.' || r == ',' || r == ':' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\%x `, r) // the space ends it
		}
	}
	return b.String()
}

func isHTML(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm":
		return true
	}
	return false
}

// markPlace returns where in the beginning of an HTML document a mark belongs:
// behind the doctype, before which it would change the layout, and the comments
// around that, which would move. It reports false for documents in an encoding that the mark is not in, and where it
// does not find the place.
func markPlace(head []byte) (int, bool) {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return 0, false // UTF-16
	}
	rest := bytes.TrimPrefix(head, []byte("\ufeff"))
	for {
		rest = bytes.TrimLeft(rest, " \t\r\n\f")
		at := len(head) - len(rest)
		var end int
		switch {
		case len(rest) == 0 && len(head) == markedWithin:
			return 0, false
		case bytes.HasPrefix(rest, []byte("<!--")):
			end = commentEnd(rest)
		case bytes.HasPrefix(rest, []byte("<!")), bytes.HasPrefix(rest, []byte("<?")), isOddEnd(rest): // the doctype, and what is read as a comment
			end = bytes.IndexByte(rest, '>') + 1
		default:
			return at, true // it has none
		}
		if end <= 0 {
			return 0, false
		}
		rest = rest[end:]
	}
}

// isOddEnd reports whether html begins with an end tag that has no name.
func isOddEnd(html []byte) bool {
	return len(html) > 2 && html[0] == '<' && html[1] == '/' && (html[2]|0x20 < 'a' || html[2]|0x20 > 'z')
}

// commentEnd returns the length of the comment that begins html, or 0.
func commentEnd(html []byte) int {
	for _, short := range []string{"<!-->", "<!--->"} {
		if bytes.HasPrefix(html, []byte(short)) {
			return len(short)
		}
	}
	end := 0
	for _, close := range []string{"-->", "--!>"} {
		if i := bytes.Index(html[4:], []byte(close)); i >= 0 && (end == 0 || 4+i+len(close) < end) {
			end = 4 + i + len(close)
		}
	}
	return end
}

// copySentence says what a reader of a copy sees.
func copySentence(host, keeper string, awake bool, published, now time.Time) string {
	first, size := utf8.DecodeRuneInString(host)
	name := strings.ToUpper(string(first)) + host[size:]
	state := " is asleep."
	if awake {
		state = " cannot be reached."
	}
	return fmt.Sprintf("%s%s This copy is from %s, kept by %s.", name, state, dayAndTime(published.In(now.Location()), now), keeper)
}

// dayAndTime writes a moment of the past as people say it.
func dayAndTime(t, now time.Time) string {
	switch day := t.Format(time.DateOnly); {
	case day == now.Format(time.DateOnly):
		return "today " + t.Format("15:04")
	case day == now.AddDate(0, 0, -1).Format(time.DateOnly):
		return "yesterday " + t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 January 15:04")
	}
	return t.Format("2 January 2006")
}
