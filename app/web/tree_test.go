package web

import (
	"io"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kith.alt/kith"
)

type stringFile struct{ *strings.Reader }

func (stringFile) Close() error { return nil }

// TestContentFS has content be a file system as the library wants it, whatever
// the names in it.
func TestContentFS(t *testing.T) {
	const text = "0123456789"
	var files []kith.ContentFile
	for _, path := range []string{
		"a.html", "docs/a.txt", "docs/deep/er/b.txt", "empty.txt", "z z/ü.txt",
		"a.html", "a.html/below", "docs", "../x", "/etc/passwd", "b//c", "b/./c", "b/../c", "", ".", "..", // cannot be
	} {
		files = append(files, kith.ContentFile{Path: path, Size: int64(len(text))})
	}
	c := contentFS{tree: newTree(files), published: time.Unix(1e9, 0),
		open: func(string) (io.ReadSeekCloser, error) { return stringFile{strings.NewReader(text)}, nil }}
	if err := fstest.TestFS(c, "a.html", "docs/a.txt", "docs/deep/er/b.txt", "empty.txt", "z z/ü.txt"); err != nil {
		t.Error(err)
	}
	if len(c.tree) != 10 {
		t.Errorf("%d names, want those of five files and five folders: %v", len(c.tree), c.tree)
	}
}

func TestTreeBound(t *testing.T) {
	deep := strings.Repeat("a/", 1000)
	var files []kith.ContentFile
	for i := range 1000 {
		files = append(files, kith.ContentFile{Path: strings.Repeat("b", i) + "/" + deep + "c"})
	}
	if n := len(newTree(files)); n > maxNodes+2000 {
		t.Errorf("%d nodes", n)
	}
}
