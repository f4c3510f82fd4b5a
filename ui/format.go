package ui

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size writes a number of bytes in binary units with one decimal: "1.4 MiB".
func Size[N ~int | ~int64 | ~uint64](bytes N) string {
	if bytes < 1024 {
		return Plural(int(bytes), "byte", "bytes")
	}
	value := float64(bytes)
	unit := 0
	for value >= 1023.95 && unit < 6 { // 1023.95 would be written as 1024.0
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[unit-1])
}

// Number groups the digits of n by thousands: "12,345".
func Number(n int) string {
	text := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, text = "−", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// Plural writes n with the word that fits it: "1 host", "3 hosts".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// And writes words as a list: "elm", "elm and fir", "elm, fir and oak".
func And(words ...string) string {
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " and " + words[last]
	}
	return strings.Join(words, "")
}

// Millis writes a time given in milliseconds, as round trips are: "0.4 ms",
// "12 ms", "1.2 s". Zero is unknown and gives "".
func Millis(ms float64) string {
	switch {
	case ms <= 0 || math.IsNaN(ms):
		return ""
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 999.5:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
}

// Ago writes a moment as people say it, "3 minutes ago" or "in 2 hours", in a
// time element that holds the exact one. The zero time is "never".
func Ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`,
		t.UTC().Format(time.RFC3339), t.Format("Monday 2 January 2006, 15:04:05 MST"), Relative(time.Until(t))))
}

// Relative writes a distance in time from now, negative for the past. The
// module kith.js says the same.
func Relative(d time.Duration) string {
	text := Duration(d.Abs())
	switch {
	case d.Abs() < 10*time.Second:
		return "just now"
	case d < 0:
		return text + " ago"
	}
	return "in " + text
}

// Duration writes a length of time in its largest unit: "3 minutes".
func Duration(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{
		{365 * 24 * time.Hour, "year"},
		{30 * 24 * time.Hour, "month"},
		{24 * time.Hour, "day"},
		{time.Hour, "hour"},
		{time.Minute, "minute"},
	} {
		if n := int(math.Round(float64(d) / float64(unit.length))); d >= unit.length-unit.length/60 && n > 0 {
			return Plural(n, unit.name, unit.name+"s")
		}
	}
	return Plural(int(d.Round(time.Second)/time.Second), "second", "seconds")
}
