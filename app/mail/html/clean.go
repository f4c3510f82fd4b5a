package html

import (
	"io"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

const (
	// MaxInput is how many bytes of HTML are read.
	MaxInput = 2 << 20

	maxDepth  = 200 // elements within elements; browsers give up at some 500
	maxStyle  = 2000
	maxLink   = 8000
	maxPasted = 2 << 20 // bytes of a picture that is in the text itself
)

// A Clean is a message that is safe to show.
type Clean struct {
	Body    string
	Blocked int  // pictures that would have been loaded from elsewhere
	Missing int  // pictures of the message that are not shown
	Plain   bool // it says nothing of colours, so that any will do
	Cut     bool // it went on after MaxInput
}

// A Cleaner makes messages safe. It is safe for concurrent use.
type Cleaner struct {
	sanitize func(io.Reader, io.Writer) error
	mailto   func(string) string
}

// New returns a cleaner, which can be used for all messages. Mailto returns where a message is written to what follows
// the colon of a mailto link; such a link opens beside, as all do.
func New(mailto func(string) string) *Cleaner {
	return &Cleaner{newPolicy().SanitizeReaderToWriter, mailto}
}

// Clean reads the HTML of a message, and never fails. Picture returns a picture of the message by its Content-ID as a data URL, false
// for one that is not to be shown.
func (c *Cleaner) Clean(source string, picture func(id string) (string, bool)) Clean {
	w := writer{picture: picture, mailto: c.mailto}
	w.clean.Plain = true
	if w.clean.Cut = len(source) > MaxInput; w.clean.Cut {
		source = strings.ToValidUTF8(source[:MaxInput], "")
	}
	var left strings.Builder
	_ = c.sanitize(strings.NewReader(strings.ReplaceAll(source, "\x00", "")), &left) // neither end fails
	tokens := html.NewTokenizer(strings.NewReader(left.String()))
	for tokens.Next() != html.ErrorToken {
		w.write(tokens.Token())
	}
	for _, name := range slices.Backward(w.open) {
		w.out.WriteString("</" + name + ">")
	}
	w.clean.Body = w.out.String()
	return w.clean
}

// A writer is the second reading.
type writer struct {
	picture func(string) (string, bool)
	mailto  func(string) string
	out     strings.Builder
	clean   Clean
	open    []string       // elements that are
	deeper  map[string]int // those that were left out as they are too deep
}

// void are elements without an end.
func void(name string) bool {
	return name == "br" || name == "hr" || name == "img" || name == "col" || name == "wbr"
}

func (w *writer) write(token html.Token) {
	name := token.Data
	switch token.Type {
	case html.TextToken:
		w.out.WriteString(token.String())
	case html.StartTagToken, html.SelfClosingTagToken:
		if !slices.Contains(elements, name) {
			return
		}
		if name == "img" {
			w.image(token)
			return
		}
		token.Type = html.StartTagToken
		token.Attr = slices.DeleteFunc(token.Attr, func(a html.Attribute) bool { return !w.keeps(a) })
		if name == "a" {
			token.Attr = w.link(token.Attr)
		}
		switch {
		case void(name):
		case len(w.open) >= maxDepth:
			if w.deeper == nil {
				w.deeper = make(map[string]int)
			}
			w.deeper[name]++
			return
		default:
			w.open = append(w.open, name)
		}
		w.out.WriteString(token.String())
	case html.EndTagToken:
		if w.deeper[name] > 0 {
			w.deeper[name]--
			return
		}
		for i, other := range slices.Backward(w.open) {
			if other != name {
				continue
			}
			for _, inner := range slices.Backward(w.open[i:]) {
				w.out.WriteString("</" + inner + ">")
			}
			w.open = w.open[:i]
			return
		}
	}
}

// link has a mailto link lead to where messages are written.
func (w *writer) link(attributes []html.Attribute) []html.Attribute {
	i := slices.IndexFunc(attributes, func(a html.Attribute) bool { return a.Key == "href" })
	if i < 0 {
		return attributes
	}
	const scheme = "mailto:"
	if value := attributes[i].Val; strings.HasPrefix(strings.ToLower(value), scheme) {
		attributes = slices.DeleteFunc(slices.Clone(attributes), func(a html.Attribute) bool { return a.Key == "href" || a.Key == "target" || a.Key == "rel" })
		attributes = append(attributes, html.Attribute{Key: "href", Val: w.mailto(value[len(scheme):])},
			html.Attribute{Key: "target", Val: "_blank"}, html.Attribute{Key: "rel", Val: "noopener"})
	}
	return attributes
}

// keeps looks at an attribute again.
func (w *writer) keeps(a html.Attribute) bool {
	value := strings.ToLower(a.Val)
	switch a.Key {
	case "href":
		return len(value) <= maxLink && (strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://") || strings.HasPrefix(value, "mailto:"))
	case "src":
		return false // of pictures alone
	case "style":
		if value == "" || len(value) > maxStyle || strings.ContainsAny(value, "\\<>{}@*") || strings.Contains(value, "url") || strings.Contains(value, "expression") || strings.Contains(value, "//") {
			return false
		}
		if strings.Contains(value, "color") || strings.Contains(value, "background") {
			w.clean.Plain = false
		}
	case "bgcolor", "color":
		w.clean.Plain = false
	}
	return true
}

var pasted = regexp.MustCompile(`^data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$`)

// image writes a picture of the message, or the words in its place.
func (w *writer) image(token html.Token) {
	source, alt := "", ""
	attributes := token.Attr[:0:0]
	for _, a := range token.Attr {
		switch a.Key {
		case "src":
			source = a.Val
			continue
		case "alt":
			alt = strings.TrimSpace(a.Val)
		}
		if w.keeps(a) {
			attributes = append(attributes, a)
		}
	}
	scheme, rest, _ := strings.Cut(source, ":")
	shown := ""
	switch strings.ToLower(scheme) {
	case "data":
		if len(source) <= maxPasted && pasted.MatchString(source) {
			shown = source
		}
	case "cid":
		if address, ok := w.picture(unescape(rest)); ok {
			shown = address
		} else {
			w.clean.Missing++
		}
	case "http", "https":
		w.clean.Blocked++
	}
	if shown == "" {
		if alt != "" {
			w.out.WriteString("[" + html.EscapeString(alt) + "]")
		}
		return
	}
	token.Type, token.Attr = html.StartTagToken, append(attributes, html.Attribute{Key: "src", Val: shown})
	w.out.WriteString(token.String())
}
