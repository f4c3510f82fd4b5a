//go:build !windows

package content

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openAtOnce has the opening of what is no file wait for nobody.
const openAtOnce = unix.O_NONBLOCK

// inode returns what tells a file from another that takes its place.
func inode(file *os.File) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &s); err != nil {
		return 0, err
	}
	return uint64(s.Ino), nil
}

// allocated returns the bytes of disk that a file takes.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func otherDevice(err error) bool { return errors.Is(err, unix.EXDEV) }

// makeSparse has nothing to do: files have holes.
func makeSparse(*os.File) {}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
