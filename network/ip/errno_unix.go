//go:build unix

package ip

import (
	"syscall"

	"kith.alt/kith"
)

// kinds is what the system's errors mean to callers.
var kinds = map[syscall.Errno]kith.Kind{
	syscall.ECONNREFUSED:  kith.Refused,
	syscall.EADDRINUSE:    kith.InUse,
	syscall.EADDRNOTAVAIL: kith.Invalid, // not an address of this host
	syscall.EACCES:        kith.Denied,
	syscall.EPERM:         kith.Denied,
	syscall.ETIMEDOUT:     kith.Unreachable,
	syscall.EHOSTUNREACH:  kith.Unreachable,
	syscall.EHOSTDOWN:     kith.Unreachable,
	syscall.ENETUNREACH:   kith.Unreachable,
	syscall.ENETDOWN:      kith.Unreachable,
	syscall.EMFILE:        kith.Quota, // out of file descriptors
	syscall.ENFILE:        kith.Quota,
	syscall.ENOBUFS:       kith.Temporary,
	syscall.ECONNRESET:    kith.Temporary,
	syscall.ECONNABORTED:  kith.Temporary,
}
