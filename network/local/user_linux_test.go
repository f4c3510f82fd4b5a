package local_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// TestOtherUser opens a socket's file to everybody, and checks that another
// user is turned away all the same, and the next caller is served.
func TestOtherUser(t *testing.T) {
	require.Root(t)
	const nobody = 65534
	path := filepath.Join(shortDir(t), "socket")
	l := listen(t, path)
	for file, mode := range map[string]os.FileMode{filepath.Dir(path): 0o711, path: 0o666} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()

	stranger := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Errorf("become another user: %v", errno)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Errorf("the other user does not reach the socket: %v", err)
			stranger <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = conn.Read(make([]byte, 1))
		stranger <- err
	}()
	if err := <-stranger; err == nil || os.IsTimeout(err) {
		t.Errorf("the other user's connection: %v, want it closed", err)
	}
	if err := dial(t, path); err != nil {
		t.Errorf("dial as the same user: %v", err)
	}
	(<-accepted).Close()
	if len(accepted) != 0 {
		t.Error("the other user was accepted")
	}
}
