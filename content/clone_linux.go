package content

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// clone makes the file to, which must not exist, out of from, so that both
// share their bytes on disk until one is written to. The caller closes it. It fails with
// errors.ErrUnsupported where the file system cannot.
func clone(from, to string) (*os.File, error) {
	source, err := openShared(from)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.IoctlFileClone(int(target.Fd()), int(source.Fd()))
	if err != nil {
		target.Close()
		os.Remove(to)
		switch {
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.ETXTBSY):
			return nil, fmt.Errorf("%w (%w)", errors.ErrUnsupported, err)
		}
		return nil, err
	}
	return target, nil
}
