package local

import (
	"net"
	"os"

	"golang.org/x/sys/unix"

	"kith.alt/kith"
)

// requireSameUser fails with kind Denied when another user is at the far end.
func requireSameUser(conn net.Conn) error {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Xucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	}); err != nil {
		return err
	}
	if peerErr != nil {
		return peerErr
	}
	if int(peer.Uid) != os.Getuid() {
		return kith.Denied
	}
	return nil
}
