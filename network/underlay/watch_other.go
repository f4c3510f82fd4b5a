//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package underlay

import (
	"context"
	"errors"
)

func watchKernel(context.Context, func()) error { return errors.ErrUnsupported }
