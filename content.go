package kith

import (
	"fmt"
	"net/url"
	"strings"
)

// A ContentID names content, a file or a folder, by its hash: the SHA-256 of its
// description, which is a BitTorrent info dictionary (BEP 52). Whoever has the ID can
// check every byte, whoever it comes from. It is comparable; its zero value
// names nothing.
type ContentID [32]byte

// String returns the text form: 52 lower-case base32 characters.
func (c ContentID) String() string { return idEncoding.EncodeToString(c[:]) }

// IsZero reports whether the ID is the zero ID, which names nothing.
func (c ContentID) IsZero() bool { return c == ContentID{} }

// MarshalText makes IDs appear in JSON in their text form, the zero ID as "".
func (c ContentID) MarshalText() ([]byte, error) {
	if c.IsZero() {
		return nil, nil
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (c *ContentID) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*c = ContentID{}
		return nil
	}
	*c, err = ParseContentID(string(text))
	return err
}

// ParseContentID reads the text form. It fails with an [Invalid] error.
func ParseContentID(text string) (ContentID, error) {
	decoded, err := idEncoding.DecodeString(text)
	if err != nil || len(decoded) != len(ContentID{}) || idEncoding.EncodeToString(decoded) != text {
		return ContentID{}, fmt.Errorf("%.60q is not 52 letters and digits from a to z and 2 to 7: %w", text, Invalid)
	}
	return ContentID(decoded), nil
}

// A Link is what a person hands to another for content: its ID, and hints that
// the taker need not believe.
type Link struct {
	Content ContentID
	Name    string // what it was called; "" when not known
	From    []ID   // hosts that had it; at most MaxLinkHosts
}

// MaxLinkHosts is how many hosts a link names at most.
const MaxLinkHosts = 8

const linkScheme = "kith:"

// String returns kith:CONTENT?name=NAME&from=ID, shell-safe within quotes only
// where a hint is there.
func (l Link) String() string {
	hints := make(url.Values)
	if l.Name != "" {
		hints.Set("name", l.Name)
	}
	for _, id := range l.From {
		hints.Add("from", id.String())
	}
	if len(hints) == 0 {
		return linkScheme + l.Content.String()
	}
	return linkScheme + l.Content.String() + "?" + hints.Encode()
}

// IsLink reports whether text means to be a link.
func IsLink(text string) bool { return strings.HasPrefix(text, linkScheme) }

// ParseLink reads a link. Hints of a kind that it does not know are ignored. It
// fails with an [Invalid] error.
func ParseLink(text string) (Link, error) {
	rest, ok := strings.CutPrefix(text, linkScheme)
	if !ok {
		return Link{}, fmt.Errorf("link %.40q does not begin with %s: %w", text, linkScheme, Invalid)
	}
	content, query, _ := strings.Cut(rest, "?")
	id, err := ParseContentID(content)
	if err != nil {
		return Link{}, fmt.Errorf("link: %w", err)
	}
	hints, err := url.ParseQuery(query)
	if err != nil {
		return Link{}, fmt.Errorf("link %.40q: %v: %w", text, err, Invalid)
	}
	link := Link{Content: id, Name: hints.Get("name")}
	for _, from := range hints["from"] {
		host, err := ParseID(from)
		if err != nil {
			return Link{}, fmt.Errorf("link: %w", err)
		}
		if link.From = append(link.From, host); len(link.From) > MaxLinkHosts {
			return Link{}, fmt.Errorf("link names more than %d hosts: %w", MaxLinkHosts, Invalid)
		}
	}
	return link, nil
}
