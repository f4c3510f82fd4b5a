package ip_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"kith.alt/kith"
)

// silent returns a port whose queue is full: Linux drops further attempts, and
// a dial waits.
func silent(t *testing.T) kith.Address {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })
	if err != nil {
		t.Fatal(err)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		cancel()
		if err != nil {
			break
		}
		t.Cleanup(func() { conn.Close() })
	}
	address, err := kith.ParseAddress(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return address
}
