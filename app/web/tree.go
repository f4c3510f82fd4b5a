package web

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"kith.alt/kith"
)

// A tree is the files of content, by path, with the folders they are in. It
// never changes.
type tree map[string]*node

// A node is a file or a folder of a tree.
type node struct {
	name     string
	folder   bool
	size     int64
	children []*node
}

// newTree leaves out names that no file system would take, and what is beyond
// maxNodes.
func newTree(files []kith.ContentFile) tree {
	t := tree{".": {name: ".", folder: true}}
	for _, f := range files {
		if len(t) >= maxNodes {
			break
		}
		if !fs.ValidPath(f.Path) || f.Path == "." || t[f.Path] != nil {
			continue
		}
		if above := t.makeFolder(path.Dir(f.Path)); above != nil {
			t[f.Path] = &node{name: path.Base(f.Path), size: f.Size}
			above.children = append(above.children, t[f.Path])
		}
	}
	return t
}

// makeFolder returns the folder of that name, or nil where a file has it.
func (t tree) makeFolder(name string) *node {
	if n := t[name]; n != nil {
		if n.folder {
			return n
		}
		return nil
	}
	above := t.makeFolder(path.Dir(name))
	if above == nil {
		return nil
	}
	t[name] = &node{name: path.Base(name), folder: true}
	above.children = append(above.children, t[name])
	return t[name]
}

// A contentFS is content as a file system. All of it has the time of its
// publication.
type contentFS struct {
	tree      tree
	published time.Time
	open      func(name string) (io.ReadSeekCloser, error) // a file
	mark      string                                       // put into HTML documents; "": nothing
}

// Open opens a file or a folder. Files implement io.ReaderAt.
func (c contentFS) Open(name string) (fs.File, error) {
	n := c.tree[name]
	switch {
	case !fs.ValidPath(name):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case n == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	info := contentInfo{n, c.published, n.size}
	if n.folder {
		return &contentFolder{contentInfo: info}, nil
	}
	r, err := c.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	content := io.ReaderAt(seekReaderAt{r})
	if c.mark != "" && isHTML(name) {
		marked, err := markHTML(content, n.size, c.mark)
		if err != nil {
			r.Close()
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		content, info.size = marked, marked.size()
	}
	return contentFile{io.NewSectionReader(content, 0, info.size), info, r}, nil
}

// Stat describes a file or a folder without opening it.
func (c contentFS) Stat(name string) (fs.FileInfo, error) {
	n := c.tree[name]
	if n == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return contentInfo{n, c.published, n.size}, nil
}

type contentInfo struct {
	node     *node
	modified time.Time
	size     int64
}

func (i contentInfo) Name() string               { return i.node.name }
func (i contentInfo) Size() int64                { return i.size }
func (i contentInfo) ModTime() time.Time         { return i.modified }
func (i contentInfo) IsDir() bool                { return i.node.folder }
func (i contentInfo) Sys() any                   { return nil }
func (i contentInfo) Type() fs.FileMode          { return i.Mode().Type() }
func (i contentInfo) Info() (fs.FileInfo, error) { return i, nil }

func (i contentInfo) Mode() fs.FileMode {
	if i.node.folder {
		return fs.ModeDir | 0o500
	}
	return 0o400
}

// A contentFile reads a file; it is used by one goroutine at a time.
type contentFile struct {
	*io.SectionReader
	info fs.FileInfo
	io.Closer
}

func (f contentFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// A contentFolder lists a folder.
type contentFolder struct {
	contentInfo
	listed int
}

func (f *contentFolder) Stat() (fs.FileInfo, error) { return f.contentInfo, nil }
func (f *contentFolder) Close() error               { return nil }
func (f *contentFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.node.name, Err: errors.New("is a folder")}
}

func (f *contentFolder) ReadDir(most int) ([]fs.DirEntry, error) {
	rest := f.node.children[f.listed:]
	switch {
	case most <= 0:
	case len(rest) == 0:
		return nil, io.EOF
	case len(rest) > most:
		rest = rest[:most]
	}
	f.listed += len(rest)
	list := make([]fs.DirEntry, 0, len(rest))
	for _, n := range rest {
		list = append(list, contentInfo{n, f.modified, n.size})
	}
	return list, nil
}

// seekReaderAt is an io.ReaderAt for one goroutine at a time.
type seekReaderAt struct{ io.ReadSeeker }

func (s seekReaderAt) ReadAt(p []byte, at int64) (int, error) {
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// A marked is an HTML document with a mark in it.
type marked struct {
	content io.ReaderAt
	length  int64 // of content
	at      int64 // where the mark is
	mark    string
}

func (m marked) size() int64 { return m.length + int64(len(m.mark)) }

func (m marked) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		markEnd := m.at + int64(len(m.mark))
		switch pos := at + int64(n); {
		case pos < m.at:
			k, err = m.content.ReadAt(p[n:min(int64(len(p)), int64(n)+m.at-pos)], pos)
			if err == io.EOF && k > 0 {
				err = nil // the mark comes
			}
		case pos < markEnd:
			k = copy(p[n:], m.mark[pos-m.at:])
		case pos >= m.size():
			err = io.EOF
		default:
			k, err = m.content.ReadAt(p[n:], pos-int64(len(m.mark)))
		}
		n += k
	}
	return n, err
}

// markedWithin is how much of a document may stand before its mark.
const markedWithin = 16 << 10

// markHTML puts a mark into a document.
func markHTML(content io.ReaderAt, size int64, mark string) (marked, error) {
	head := make([]byte, min(size, markedWithin))
	if n, err := content.ReadAt(head, 0); n < len(head) {
		return marked{}, fmt.Errorf("read the beginning: %w", err)
	}
	at, ok := markPlace(head)
	if !ok {
		mark = ""
	}
	return marked{content, size, int64(at), mark}, nil
}
