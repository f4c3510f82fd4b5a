package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"kith.alt/kith"
)

type listener struct {
	path string // what it was asked to listen on
	*net.UnixListener
	far string // the directory of the real socket, where path is long

	close    sync.Once
	closeErr error
}

// open makes the socket at path, which is short.
func (l *listener) open(path string) error {
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return explain(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		socket.Close()
		return err
	}
	l.UnixListener = socket
	return nil
}

// openFar makes the socket where paths are short, and l.path a file that says
// where.
func (l *listener) openFar() error {
	dir, err := os.MkdirTemp("", "kith-") // of mode 0700
	if err != nil {
		return err
	}
	l.far = dir
	real := filepath.Join(dir, "socket")
	if len(real) > maxPath {
		return errors.Join(fmt.Errorf("the path %s is too long for a socket: %w", real, kith.Invalid), os.Remove(dir))
	}
	if err := l.open(real); err != nil {
		os.RemoveAll(dir)
		return err
	}
	if err := os.WriteFile(l.path, []byte(real+"\n"), 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// Accept waits for a process of the same user. Others are turned away.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		if requireSameUser(conn) == nil {
			return conn, nil
		}
		conn.Close()
	}
}

// Close ends the listener and removes its files.
func (l *listener) Close() error {
	l.close.Do(func() {
		if l.far != "" {
			os.Remove(l.path)
		}
		l.closeErr = l.UnixListener.Close()
		if l.far != "" {
			os.Remove(l.far)
		}
	})
	return l.closeErr
}

func (l *listener) Addr() net.Addr { return kith.Address{Host: l.path} }
