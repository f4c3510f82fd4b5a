package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"kith.alt/kith"
)

const (
	socketFile = "kith.sock"
	maxPath    = 100 // bytes of a socket's path; the least that systems allow is 103
)

// Listen makes the control socket of the node that holds the data directory
// dir, which exists and is the user's alone. What an ended node left there is
// replaced. Where the socket's path is too long for a socket, kith.sock is a
// file that holds the real path, in a temporary directory. Closing the listener
// removes what Listen made.
func Listen(dir string) (net.Listener, error) {
	file := filepath.Join(dir, socketFile)
	if err := removeStale(file); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if len(file) <= maxPath {
		ln, err := listenUnix(file)
		if err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
		return ln, nil
	}
	ln, err := listenElsewhere(file)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return ln, nil
}

// removeStale removes the socket, or the file that names one, of a node that
// did not end in order.
func removeStale(file string) error {
	if real, err := readPath(file); err == nil && filepath.Base(real) == socketFile {
		os.Remove(real)               // these may be gone already, with
		os.Remove(filepath.Dir(real)) // everything temporary
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func listenUnix(path string) (net.Listener, error) {
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// elsewhere is a control socket outside the data directory.
type elsewhere struct {
	net.Listener
	file, dir string
}

func listenElsewhere(file string) (_ net.Listener, err error) {
	dir, err := os.MkdirTemp("", "kith-") // 0700
	if err != nil {
		return nil, err
	}
	real := filepath.Join(dir, socketFile)
	if len(real) > maxPath {
		return nil, errors.Join(fmt.Errorf("the path %s is too long for a socket: %w", real, kith.Invalid), os.Remove(dir))
	}
	ln, err := listenUnix(real)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := os.WriteFile(file, []byte(real+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, ln.Close(), os.Remove(dir))
	}
	return &elsewhere{ln, file, dir}, nil
}

func (e *elsewhere) Close() error {
	err := e.Listener.Close() // removes the socket
	os.Remove(e.dir)
	os.Remove(e.file)
	return err
}

// connect opens a connection to the node that runs on the data directory dir,
// or fails with ErrNotRunning.
func connect(ctx context.Context, dir string) (net.Conn, error) {
	path := filepath.Join(dir, socketFile)
	if real, err := readPath(path); err == nil {
		path = real
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("control socket: %w: %w", err, kith.Denied)
	default: // no socket, or nobody behind it
		return nil, fmt.Errorf("%w on %s", ErrNotRunning, dir)
	}
}

// readPath reads the path in a kith.sock that is a file.
func readPath(file string) (string, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return "", err
	}
	const most = 4096
	if !info.Mode().IsRegular() || info.Size() > most {
		return "", fmt.Errorf("%s holds no path: %w", file, kith.Invalid)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	path := strings.TrimSpace(string(text))
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s holds no absolute path: %w", file, kith.Invalid)
	}
	return path, nil
}
