package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
	"rsc.io/qr"
)

// Is reports whether a person is at the end of f.
func Is(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// width is how many characters a line of progress has at most; a longer one
// would wrap and could not be taken back.
const width = 79

// A Line is the last line of a terminal, which changes in place.
type Line struct {
	W     io.Writer
	shown int // characters that stand there
}

// Show puts text in place of what the line showed.
func (l *Line) Show(text string) {
	if n := utf8.RuneCountInString(text); n > width {
		text = string([]rune(text)[:width-1]) + "…"
	}
	n := utf8.RuneCountInString(text)
	fmt.Fprintf(l.W, "\r%s%s", text, strings.Repeat(" ", max(0, l.shown-n)))
	l.shown = n
}

// Clear takes the text off again, so that other lines may follow.
func (l *Line) Clear() {
	if l.shown > 0 {
		l.Show("")
		fmt.Fprint(l.W, "\r")
	}
}

// Bar draws how much of total is done, with cells characters and a percentage.
// It is never full before all is done.
func Bar(done, total int64, cells int) string {
	part := 0.0
	if total > 0 {
		part = min(1, float64(done)/float64(total))
	}
	full := int(part * float64(cells))
	return fmt.Sprintf("[%s%s] %3d%%", strings.Repeat("#", full), strings.Repeat(".", cells-full), int(part*100))
}

// QR draws text as a QR code in half blocks, two modules to a character,
// light on dark as most terminals are; readers know both.
func QR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("draw QR code: %w", err)
	}
	const quiet = 2
	light := func(x, y int) bool { return !code.Black(x, y) } // beyond the edge too
	var b []byte
	for y := -quiet; y < code.Size+quiet; y += 2 {
		for x := -quiet; x < code.Size+quiet; x++ {
			switch upper, lower := light(x, y), light(x, y+1) && y+1 < code.Size+quiet; {
			case upper && lower:
				b = append(b, "█"...)
			case upper:
				b = append(b, "▀"...)
			case lower:
				b = append(b, "▄"...)
			default:
				b = append(b, ' ')
			}
		}
		b = append(b, '\n')
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
