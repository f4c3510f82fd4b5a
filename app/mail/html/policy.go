package html

import (
	"regexp"

	"github.com/microcosm-cc/bluemonday"
)

// Policy is the Content-Security-Policy of a [Document].
const Policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; " +
	"sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"

// Sandbox is that of the frame that shows it. Without scripts in it the page around may measure it.
const Sandbox = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"

// elements that may be in a message, with or without attributes.
var elements = []string{
	"a", "abbr", "address", "article", "aside", "b", "big", "blockquote", "br", "caption", "center", "cite", "code", "col", "colgroup", "dd", "del", "dfn", "div", "dl",
	"dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "ol", "p",
	"pre", "q", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u",
	"ul", "var", "wbr",
}

// hidden are elements whose content nobody would see, or that mean something else elsewhere.
var hidden = []string{"audio", "canvas", "embed", "map", "math", "noembed", "plaintext", "svg", "template", "title", "video", "xmp"}

// Values of attributes and styles. None has a function but those of colours.
var (
	color     = regexp.MustCompile(`^(?:#[0-9a-fA-F]{3,8}|[a-zA-Z]{1,30}|(?:rgb|hsl)a?\([0-9 ,.%/]{1,40}\))$`)
	edge      = regexp.MustCompile(`^[#a-z0-9.% -]{0,60}(?:(?:rgb|hsl)a?\([0-9 ,.%/]{1,40}\))?[a-z0-9.% -]{0,60}$`)
	words     = regexp.MustCompile(`^[a-zA-Z0-9.% -]{1,60}$`)
	family    = regexp.MustCompile(`^[a-zA-Z0-9 ,'"_-]{1,200}$`)
	size      = regexp.MustCompile(`^[0-9]{1,5}(?:\.[0-9]{1,5})?(?:px|%)?$`)
	display   = regexp.MustCompile(`^(?:none|block|inline|inline-block|list-item|table|inline-table|table-row|table-cell|table-row-group|table-caption)$`)
	number    = regexp.MustCompile(`^-?[0-9]{1,5}$`)
	text      = regexp.MustCompile(`(?s)^.{0,1000}$`)
	direction = regexp.MustCompile(`^(?:ltr|rtl|auto)$`)
	language  = regexp.MustCompile(`^[a-zA-Z0-9-]{1,35}$`)
)

// attributes by the elements that may have them, "" for all.
var attributes = []struct {
	value    *regexp.Regexp
	elements []string
	names    []string
}{
	{direction, nil, []string{"dir"}},
	{language, nil, []string{"lang"}},
	{text, nil, []string{"title"}},
	{words, nil, []string{"align", "valign"}},
	{text, []string{"img"}, []string{"alt"}},
	{size, []string{"img", "table", "td", "th", "tr", "col", "colgroup", "hr"}, []string{"width", "height"}},
	{size, []string{"table", "img"}, []string{"border", "cellpadding", "cellspacing", "hspace", "vspace"}},
	{number, []string{"td", "th"}, []string{"colspan", "rowspan"}},
	{number, []string{"col", "colgroup"}, []string{"span"}},
	{number, []string{"ol", "li"}, []string{"start", "value"}},
	{words, []string{"ol", "ul", "li"}, []string{"type"}},
	{color, []string{"table", "tr", "td", "th", "tbody", "thead"}, []string{"bgcolor"}},
	{color, []string{"font"}, []string{"color"}},
	{family, []string{"font"}, []string{"face"}},
	{words, []string{"font"}, []string{"size"}},
}

// styles by what their values may be.
var styles = []struct {
	value *regexp.Regexp
	names []string
}{
	{color, []string{"color", "background-color", "background", "border-color"}},
	{edge, []string{"border", "border-top", "border-right", "border-bottom", "border-left"}},
	{family, []string{"font-family"}},
	{display, []string{"display"}},
	{words, []string{
		"font-size", "font-weight", "font-style", "line-height", "letter-spacing", "text-align", "text-decoration", "text-transform", "text-indent", "vertical-align", "white-space",
		"list-style-type", "direction", "border-collapse", "border-spacing", "border-style", "border-width", "border-radius", "float", "clear",
		"width", "max-width", "min-width", "height", "max-height", "min-height",
		"padding", "padding-top", "padding-right", "padding-bottom", "padding-left", "margin", "margin-top", "margin-right", "margin-bottom", "margin-left",
	}},
}

// newPolicy is safe for concurrent use once it is made.
func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements(elements...)
	p.AllowNoAttrs().OnElements(elements...)
	p.SkipElementsContent(hidden...)
	for _, a := range attributes {
		builder := p.AllowAttrs(a.names...).Matching(a.value)
		if a.elements == nil {
			builder.Globally()
		} else {
			builder.OnElements(a.elements...)
		}
	}
	p.AllowAttrs("style").Globally()
	for _, s := range styles {
		p.AllowStyles(s.names...).Matching(s.value).Globally()
	}
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src").OnElements("img")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.AllowURLSchemes("http", "https", "mailto", "cid")
	p.AllowDataURIImages()
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return p
}
