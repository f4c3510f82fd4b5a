package static

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A folder is what is served. Names are relative to it, with slashes.
type folder interface {
	open(name string) (fs.File, error)
	stat(name string) (fs.FileInfo, error) // follows links that stay inside
	dated() bool                           // files have times of their own
}

// A disk is a folder of the file system.
type disk struct{ *os.Root }

// open does not wait for the writer of a pipe.
func (d disk) open(name string) (fs.File, error) {
	f, err := d.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err // not f, which is no nil File then
	}
	return f, nil
}

func (d disk) stat(name string) (fs.FileInfo, error) { return d.Stat(name) }
func (d disk) dated() bool                           { return true }

// A tree is a folder that somebody else keeps.
type tree struct{ fs.FS }

var errUnreadable = errors.New("not readable at present")

func (t tree) open(name string) (fs.File, error) {
	f, err := t.Open(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return f, err
}

func (t tree) stat(name string) (fs.FileInfo, error) { return fs.Stat(t.FS, name) }
func (t tree) dated() bool                           { return false }

// A file is an open regular file or directory of a folder.
type file struct {
	fs.File
	at   io.ReaderAt // the same; nil for some directories
	name string
	info fs.FileInfo
}

// open opens a file or directory, and nothing else.
func open(root folder, name string) (file, error) {
	if name == "" {
		name = "."
	}
	f, err := root.open(name)
	if err != nil {
		return file{}, err
	}
	info, err := f.Stat()
	at, readable := f.(io.ReaderAt)
	if err == nil && !info.IsDir() && (!info.Mode().IsRegular() || !readable) {
		err = fmt.Errorf("%s is neither a file nor a folder: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		f.Close()
		return file{}, err
	}
	return file{f, at, name, info}, nil
}

// readDir returns the first entries of a directory, as [os.File.ReadDir] does.
func (f file) readDir(most int) ([]fs.DirEntry, error) {
	dir, ok := f.File.(fs.ReadDirFile)
	if !ok {
		return nil, fmt.Errorf("%s cannot be listed: %w", f.name, errUnreadable)
	}
	return dir.ReadDir(most)
}
