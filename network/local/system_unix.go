//go:build unix

package local

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	refused = map[syscall.Errno]bool{syscall.ECONNREFUSED: true}
	inUse   = map[syscall.Errno]bool{syscall.EADDRINUSE: true}
)

// lockDir waits for the lock on a directory.
func lockDir(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return func() { dir.Close() }, nil
}
