package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kith.alt/kith"
)

// maxPath is the longest path of a socket: 104 bytes with the final zero on
// macOS, 108 on Linux and Windows.
const maxPath = 100

// A Network joins the processes of one host and user. The zero value is ready.
// It is a [kith.Network].
type Network struct{}

// Dial opens a connection to the process that listens at address, a path.
func (Network) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

func dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	path, err := pathOf(address)
	if err != nil {
		return nil, err
	}
	socket, err := socketAt(path)
	if errors.Is(err, errForeign) {
		return nil, fmt.Errorf("%w (%w)", kith.Refused, err)
	} else if err != nil {
		return nil, err
	}
	return connect(ctx, socket)
}

// connect connects to the socket at path, which is short. While the listener's
// queue is full, Linux refuses to wait; connect waits until ctx ends.
func connect(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			if err := requireSameUser(conn); err != nil {
				conn.Close()
				return nil, err
			}
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, explain(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Listen makes a socket at address, a path, and its directory where missing.
func (Network) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	l, err := listen(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

func listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	path, err := pathOf(address)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain(err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, explain(err)
	}
	defer unlock()
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	l := &listener{path: path}
	if len(path) > maxPath {
		return l, l.openFar()
	}
	return l, l.open(path)
}

// pathOf returns the absolute path that address names.
func pathOf(address kith.Address) (string, error) {
	if !kith.IsPath(address.Host) || address.Port != 0 {
		return "", fmt.Errorf("the address is not a path: %w", kith.Invalid)
	}
	return filepath.Abs(address.Host)
}

// removeStale makes room at path, unless somebody answers there or what lies
// there is not ours.
func removeStale(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	socket, err := socketAt(path)
	if errors.Is(err, errForeign) {
		return fmt.Errorf("%w: %w", err, kith.Exists)
	} else if err != nil {
		return err
	}
	conn, err := connect(ctx, socket)
	if err == nil {
		conn.Close()
		return kith.InUse
	}
	if !errors.Is(err, kith.Refused) {
		return err
	}
	if socket != path {
		os.Remove(socket)
		os.Remove(filepath.Dir(socket)) // fails unless it is empty
	}
	return os.Remove(path)
}

// errForeign is the error of a path where something of others' lies.
var errForeign = errors.New("a file that is no socket is there")

// socketAt returns where the socket is that listens at path: there, or where
// the file there says. The length of path does not tell: people move folders.
func socketAt(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", explain(err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir(), mode.IsRegular() && info.Size() > maxPath+1:
		return "", errForeign
	case !mode.IsRegular():
		return path, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", explain(err)
	}
	real, ok := strings.CutSuffix(string(data), "\n")
	if !ok || len(real) > maxPath || !filepath.IsAbs(real) {
		return "", errForeign
	}
	return real, nil
}

// explain gives err the kind that its cause has.
func explain(err error) error {
	cause := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		cause = op.Err // without the path, which the caller names
	}
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, os.ErrNotExist), refused[errno]:
		return fmt.Errorf("%w (%w)", kith.Refused, cause)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w (%w)", kith.Denied, cause)
	case inUse[errno]:
		return fmt.Errorf("%w (%w)", kith.InUse, cause)
	}
	return cause
}
