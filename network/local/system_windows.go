package local

import (
	"syscall"

	"golang.org/x/sys/windows"
)

var (
	refused = map[syscall.Errno]bool{windows.WSAECONNREFUSED: true}
	inUse   = map[syscall.Errno]bool{windows.WSAEADDRINUSE: true}
)

// lockDir does nothing: directories cannot be locked here.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }
