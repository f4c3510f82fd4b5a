package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/kithtest/require"
)

// TestReadme follows the README's five minutes word for word, on one computer
// without any network, for two people.
func TestReadme(t *testing.T) {
	require.Tool(t, "curl")
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, minutes, _ := strings.Cut(string(text), "## Five minutes\n")
	minutes, _, _ = strings.Cut(minutes, "\n## ")
	var lines []string
	for line := range strings.Lines(minutes) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimSpace(code))
		}
	}
	if len(lines) != 6 {
		t.Fatalf("the README's five minutes have %d commands: %q", len(lines), lines)
	}
	run, publish, invite, join, share, get := lines[0], lines[1], lines[2], lines[3], lines[4], lines[5]

	l := netlab.New(t)
	l.Dir = ".."
	c := l.Computer("readme")
	hers, his := t.TempDir(), t.TempDir()
	garden, film := filepath.Join(hers, "garden"), filepath.Join(hers, "holiday.mp4")
	if err := os.Mkdir(garden, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{filepath.Join(garden, "index.html"): "The garden.", film: "The sea."} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	printed := c.Start(run, hers).Printed
	site := find(t, printed, `http://\S+--home\.localhost:\d+/`)
	find(t, printed, `http://localhost:8080/signin\?token=\S+`)
	find(t, printed, `go run \./cmd/kith invite`)
	find(t, printed, `go run \./cmd/kith stop`)
	find(t, printed, `kith service install`)
	c.Must(strings.ReplaceAll(publish, "~/Pictures/garden", garden), hers)
	if got := c.Must("curl -sS --fail "+site, hers); got != "The garden." {
		t.Errorf("%s shows %q", site, got)
	}
	ticket := strings.TrimSpace(c.Must(invite, hers))
	find(t, ticket, `^kith[a-z2-7]+$`)
	printed = c.Start(strings.ReplaceAll(join, "TICKET", ticket), his).Printed
	find(t, printed, `in the group home`)
	c.Eventually("go run ./cmd/kith members", hers, `(?s)awake.*awake`)
	c.Eventually("go run ./cmd/kith members", his, `(?s)awake.*awake`)

	// Each reads the other's site.
	status := c.Must("go run ./cmd/kith members", his)
	for _, theirs := range regexp.MustCompile(`http://\S+`).FindAllString(status, -1) {
		c.Must("curl -sS --fail "+theirs, his)
	}

	c.Must(strings.ReplaceAll(share, "~/Videos/holiday.mp4", film), hers)
	c.Eventually("go run ./cmd/kith library", his, `holiday\.mp4`)
	c.Must(get+" -o "+his, his) // not where the test is
	if got, err := os.ReadFile(filepath.Join(his, "holiday.mp4")); err != nil || string(got) != "The sea." {
		t.Errorf("%q, %v", got, err)
	}
}

func find(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindString(text)
	if found == "" {
		t.Fatalf("no %q in:\n%s", pattern, text)
	}
	return found
}
