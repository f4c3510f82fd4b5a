package watch

import (
	"io/fs"
	"testing"
	"time"
)

// A looked is what a file system says of a file.
type looked struct {
	size     int64
	modified time.Time
	mode     fs.FileMode
}

func (l looked) Name() string       { return "" }
func (l looked) Size() int64        { return l.size }
func (l looked) Mode() fs.FileMode  { return l.mode }
func (l looked) ModTime() time.Time { return l.modified }
func (l looked) IsDir() bool        { return l.mode.IsDir() }
func (l looked) Sys() any           { return nil }

// FuzzMark compares the marks of two files: they are the same where the files look the
// same, and only there.
func FuzzMark(f *testing.F) {
	f.Add("a", int64(1), int64(1), uint32(0), "a", int64(1), int64(2), uint32(0))
	f.Add("a", int64(97), int64(0), uint32(0), "aa", int64(0), int64(0), uint32(0))
	f.Add("", int64(0), int64(-1), uint32(fs.ModeSymlink), "", int64(0), int64(-1), uint32(0o644))
	f.Fuzz(func(t *testing.T, path string, size, modified int64, mode uint32, path2 string, size2, modified2 int64, mode2 uint32) {
		a := looked{size, time.Unix(0, modified), fs.FileMode(mode)}
		b := looked{size2, time.Unix(0, modified2), fs.FileMode(mode2)}
		same := path == path2 && size == size2 && modified == modified2 && a.mode.Type() == b.mode.Type()
		if marked := markOf(path, a) == markOf(path2, b); marked != same {
			t.Errorf("%q %+v and %q %+v: %t", path, a, path2, b, marked)
		}
		if markOf(path, a) == markOf(path, nil) {
			t.Errorf("%q %+v is there or not", path, a)
		}
	})
}
