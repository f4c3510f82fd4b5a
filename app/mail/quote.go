package mail

import (
	"html/template"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A block is a stretch of a message's text: what its author wrote, or what is quoted.
type block struct {
	Text   template.HTML // with line ends as they are
	Quoted bool
	Folded bool
	Lines  int
}

// shortQuote is how many quoted lines stay in sight above an answer to them.
const shortQuote = 8

var (
	dated       = regexp.MustCompile(`(?i)^(?:on|am|le|el|il|op|den) .{4,300}:$`)
	attribution = regexp.MustCompile(`(?i)^.{1,200} (?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|skrev)\s?:$`)
	original    = regexp.MustCompile(`(?i)^-{3,} ?original message ?-{3,}\s*$`)
)

// fold parts a text into blocks. Quoted lines begin with ">"; the line that says whose they are belongs to them.
func fold(text string) (blocks []block) {
	var lines []string // of the block at hand
	quoted, end := false, false
	flush := func(next bool) {
		list := lines
		lines, quoted = nil, next
		if !next { // the end of a quotation has no blank lines to keep
			blocks = appendBlock(blocks, list, true)
			return
		}
		own := len(list)
		for n := 1; n <= 3 && n <= len(list); n++ { // an attribution may be broken into several lines
			whole := strings.TrimSpace(strings.Join(list[len(list)-n:], " "))
			if dated.MatchString(whole) || n == 1 && attribution.MatchString(whole) {
				own = len(list) - n
			}
		}
		list, lines = list[:own], slices.Clone(list[own:])
		blocks = appendBlock(blocks, list, false)
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n") {
		if !end && !quoted && original.MatchString(line) {
			flush(true)
			end = true
		}
		is := end || strings.HasPrefix(line, ">")
		if is != quoted {
			if quoted && strings.TrimSpace(line) == "" { // between two quotations it may be in them
				lines = append(lines, line)
				continue
			}
			flush(is)
		}
		lines = append(lines, line)
	}
	blocks = appendBlock(blocks, lines, quoted)
	for i := range blocks {
		b := &blocks[i]
		b.Folded = b.Quoted && (b.Lines > shortQuote || i == len(blocks)-1)
	}
	if len(blocks) == 1 { // there is nothing else to see
		blocks[0].Folded = false
	}
	return blocks
}

// unflow joins the lines of paragraphs that were broken for narrow screens (RFC 3676 4): those that end with a space, which
// goes if drop is set.
func unflow(text string, drop bool) string {
	var b strings.Builder
	depth, open := 0, false // of the line before, and whether it goes on
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		rest := strings.TrimLeft(line, ">")
		quotes := len(line) - len(rest)
		rest = strings.TrimPrefix(rest, " ")
		if open = open && quotes == depth && rest != "-- "; !open {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			if b.WriteString(strings.Repeat(">", quotes)); quotes > 0 {
				b.WriteByte(' ')
			}
		}
		depth, open = quotes, strings.HasSuffix(rest, " ") && rest != "-- "
		if open && drop {
			rest = strings.TrimSuffix(rest, " ")
		}
		b.WriteString(rest)
	}
	return b.String()
}

func appendBlock(blocks []block, lines []string, quoted bool) []block {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return blocks
	}
	plain := make([]string, len(lines))
	for i, line := range lines {
		if quoted {
			line = strings.TrimPrefix(strings.TrimPrefix(line, ">"), " ")
		}
		plain[i] = strings.TrimRightFunc(line, unicode.IsSpace)
	}
	return append(blocks, block{Text: linked(strings.Join(plain, "\n")), Quoted: quoted, Lines: len(lines)})
}

var linkPattern = regexp.MustCompile(`(?i)\b(?:https?://|mailto:)[^\s<>"\x{2028}\x{2029}]+|\b[a-z0-9][a-z0-9._+-]{0,63}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,8}`)

// linked escapes a text, and makes links of the addresses in it: of the web, which open beside, and of people, which open
// a new message.
func linked(text string) template.HTML {
	var b strings.Builder
	at := 0
	for _, match := range linkPattern.FindAllStringIndex(text, -1) {
		found := withoutEnd(text[match[0]:match[1]])
		b.WriteString(template.HTMLEscapeString(text[at:match[0]]))
		at = match[0] + len(found)
		shown := template.HTMLEscapeString(found)
		scheme, person, _ := strings.Cut(found, ":")
		switch strings.ToLower(scheme) {
		case "http", "https":
			b.WriteString(`<a href="` + shown + `" target="_blank" rel="noopener noreferrer">` + shown + `</a>`)
		case "mailto":
			b.WriteString(`<a href="` + template.HTMLEscapeString(writeTo(person)) + `">` + shown + `</a>`)
		default:
			b.WriteString(`<a href="` + template.HTMLEscapeString(writeTo(found)) + `">` + shown + `</a>`)
		}
	}
	b.WriteString(template.HTMLEscapeString(text[at:]))
	return template.HTML(b.String())
}

// withoutEnd takes off an address what ends the sentence, or the brackets, that it stands in.
func withoutEnd(address string) string {
	open := map[byte]int{')': strings.Count(address, "(") - strings.Count(address, ")"), ']': strings.Count(address, "[") - strings.Count(address, "]")}
	for address != "" {
		last := address[len(address)-1]
		if surplus, bracket := open[last]; bracket && surplus < 0 {
			open[last]++
		} else if strings.IndexByte(".,;:!?'*_", last) < 0 {
			break
		}
		address = address[:len(address)-1]
	}
	return address
}
