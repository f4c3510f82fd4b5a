package content

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// clone makes the file to, which must not exist, out of from, so that both
// share their bytes on disk until one is written to. It fails with
// errors.ErrUnsupported where the file system cannot.
func clone(from, to string) error {
	err := unix.Clonefile(from, to, 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%w (%w)", errors.ErrUnsupported, err)
	}
	if err != nil {
		return err
	}
	return os.Chmod(to, 0o600)
}
