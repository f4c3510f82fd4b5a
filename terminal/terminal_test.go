package terminal

import (
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"500KB": 500_000, "2MiB": 2 << 20, "1.5 GB": 1_500_000_000, "10g": 10_000_000_000, "7": 7, "7B": 7,
		"": 0, "MB": 0, "-1MB": 0, "2iB": 0, "2XB": 0, "2MBB": 0, "0": 0, "1e3": 0, "NaN": 0, "9999999TB": 0} {
		if got, err := ParseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1 << 10: "1.0 KiB", 10 << 30: "10.0 GiB", 1<<20 - 1: "1.0 MiB"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"500KB", "2MiB", "1.5 GB", "ſKB", "\xff", "1ıB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseSize(text); err == nil && n < 1 {
			t.Errorf("%q: %d", text, n)
		}
	})
}

func TestQR(t *testing.T) {
	var b strings.Builder
	if err := QR(&b, strings.Repeat("kith", 50)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for _, line := range lines {
		if n := len([]rune(line)); n != len([]rune(lines[0])) || n > 80 {
			t.Fatalf("a line of %d characters:\n%s", n, &b)
		}
	}
}

// A line covers all of what it showed before, and never wraps.
func TestLine(t *testing.T) {
	var b strings.Builder
	l := Line{W: &b}
	l.Show("twelve")
	l.Show("one")
	l.Clear()
	if want := "\rtwelve\rone   \r   \r"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	l.Show(strings.Repeat("é", 200))
	if n := len([]rune(b.String())); n > 80 {
		t.Errorf("%d characters", n)
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		done, total int64
		want        string
	}{
		{0, 0, "[....]   0%"}, {0, 10, "[....]   0%"}, {999, 1000, "[###.]  99%"}, {5, 10, "[##..]  50%"}, {10, 10, "[####] 100%"}, {12, 10, "[####] 100%"},
	} {
		if got := Bar(test.done, test.total, 4); got != test.want {
			t.Errorf("%d of %d: %q, want %q", test.done, test.total, got, test.want)
		}
	}
}
