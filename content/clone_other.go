//go:build !linux && !darwin

package content

import "errors"

// clone would share the bytes of two files on disk; here it cannot.
func clone(from, to string) error { return errors.ErrUnsupported }
