//go:build !linux && !darwin

package content

import (
	"errors"
	"os"
)

// clone would share the bytes of two files on disk; here it cannot.
func clone(from, to string) (*os.File, error) { return nil, errors.ErrUnsupported }
