package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"kith.alt/kith"
)

// An FS is what a [Store] does with the disk: just these calls, so that tests can
// have each of them fail. Errors are those of package os.
type FS interface {
	MakeDir(path string) error                   // 0700, with its parents; it may exist
	ReadDir(path string) ([]fs.DirEntry, error)  // sorted by name
	SyncDir(path string) error                   // makes the names in it durable
	Create(path string) (File, error)            // 0600; it must not exist
	Open(path string) (io.ReadSeekCloser, error) // to be read
	Size(path string) (int64, error)             // of a file
	Rename(from, to string) error                // in place of what is there
	Remove(path string) error                    // a file that nobody has open, or an empty directory
}

// A File is being written.
type File interface {
	io.WriteCloser
	Sync() error // makes the bytes durable
}

// Disk is the [FS] of the operating system.
type Disk struct{}

func (Disk) MakeDir(path string) error                   { return os.MkdirAll(path, 0o700) }
func (Disk) ReadDir(path string) ([]fs.DirEntry, error)  { return os.ReadDir(path) }
func (Disk) SyncDir(path string) error                   { return syncDir(path) }
func (Disk) Open(path string) (io.ReadSeekCloser, error) { return os.Open(path) }
func (Disk) Rename(from, to string) error                { return os.Rename(from, to) }
func (Disk) Remove(path string) error                    { return os.Remove(path) }

func (Disk) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (Disk) Size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// explain adds the kind to an error of the disk.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return fmt.Errorf("the disk is full: make room; nothing kept is harmed: %w (%w)", kith.Quota, err)
	case errors.Is(err, fs.ErrPermission): // of kind Temporary: it says nothing against what was to be written
		return fmt.Errorf("let the user who runs kith write it: %w (%w)", kith.Temporary, err)
	}
	return fmt.Errorf("the disk fails: check it: %w (%w)", kith.Temporary, err)
}
