package html

import (
	"net/url"
)

// unescape undoes the percent signs of a Content-ID in an address (RFC 2392 2).
func unescape(id string) string {
	if plain, err := url.PathUnescape(id); err == nil {
		return plain
	}
	return id
}

// Themes of a document.
const (
	Light = "light"
	Dark  = "dark"
	Both  = "light dark" // as the reader's computer has it
)

// Document makes a page of a message. One that has colours of its own gets the white paper that it was made for,
// whatever the theme.
func Document(c Clean, theme string) string {
	colours := "background:#fff;color:#222"
	if c.Plain {
		colours = "background:light-dark(#fffdf9,#22201c);color:light-dark(#29251f,#ece6db)"
	} else {
		theme = Light
	}
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Message</title><style>` +
		`html{color-scheme:` + theme + `;` + colours + `;font:16px/1.5 -apple-system,BlinkMacSystemFont,"Segoe UI",Cantarell,Ubuntu,Roboto,"Noto Sans","Liberation Sans",sans-serif;overflow-wrap:anywhere}` +
		`body{margin:0;padding:` + padding(c) + `;overflow-x:auto}img{max-width:100%;height:auto}table{max-width:100%}pre{white-space:pre-wrap}body>:first-child{margin-top:0}body>:last-child{margin-bottom:0}` +
		`a{color:light-dark(#1d5b79,#92c6de)}blockquote{margin:8px 0 8px 0;padding-left:12px;border-left:2px solid #958b7c}` +
		`</style></head><body>` + c.Body + `</body></html>`
}

func padding(c Clean) string {
	if c.Plain {
		return "1px 0" // so that margins do not leave it
	}
	return "12px"
}
