//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package underlay

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watchKernel calls notify after every message of the kernel about links and
// addresses (route(4)), until ctx ends. Those about routes are left out: each
// neighbour that is spoken to is a route of its own here.
func watchKernel(ctx context.Context, notify func()) error {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("open routing socket: %w", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return fmt.Errorf("routing socket: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "route")
	context.AfterFunc(ctx, func() { socket.Close() })
	go func() {
		const typeAt = 3 // in every message's header: length (2), version, type
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			switch {
			case errors.Is(err, unix.ENOBUFS): // there were more messages than fit
				notify()
			case err != nil:
				return
			case n > typeAt:
				switch buf[typeAt] {
				case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_IFINFO:
					notify()
				}
			}
		}
	}()
	return nil
}
