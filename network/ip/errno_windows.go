package ip

import (
	"syscall"

	"golang.org/x/sys/windows"

	"kith.alt/kith"
)

// kinds is what the system's errors mean to callers.
var kinds = map[syscall.Errno]kith.Kind{
	windows.WSAECONNREFUSED:  kith.Refused,
	windows.WSAEADDRINUSE:    kith.InUse,
	windows.WSAEADDRNOTAVAIL: kith.Invalid, // not an address of this host
	windows.WSAEACCES:        kith.Denied,
	windows.WSAETIMEDOUT:     kith.Unreachable,
	windows.WSAEHOSTUNREACH:  kith.Unreachable,
	windows.WSAEHOSTDOWN:     kith.Unreachable,
	windows.WSAENETUNREACH:   kith.Unreachable,
	windows.WSAENETDOWN:      kith.Unreachable,
	windows.WSAEMFILE:        kith.Quota, // out of sockets
	windows.WSAENOBUFS:       kith.Temporary,
	windows.WSAECONNRESET:    kith.Temporary,
	windows.WSAECONNABORTED:  kith.Temporary,
}
