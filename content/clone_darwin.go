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
	err := unix.Clonefile(from, to, 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EXDEV) {
		return nil, fmt.Errorf("%w (%w)", errors.ErrUnsupported, err)
	}
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(to, os.O_RDONLY|unix.O_NOFOLLOW, 0) // it may not be writable yet
	if err != nil {
		return nil, err
	}
	if err := file.Chmod(0o600); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
