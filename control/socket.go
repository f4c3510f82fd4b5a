package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"kith.alt/kith"
	"kith.alt/kith/network/local"
)

const socketFile = "kith.sock"

// socketAddress is where the node on the data directory dir listens: a path,
// also where dir is ".".
func socketAddress(dir string) kith.Address {
	return kith.Address{Host: dir + string(filepath.Separator) + socketFile}
}

// Listen makes the control socket of the node that holds the data directory
// dir, for the same user's programs only. What a killed node left there is
// replaced. It fails with kind InUse where a node answers. Closing the listener
// removes what Listen made.
func Listen(dir string) (net.Listener, error) {
	ln, err := local.Network{}.Listen(context.Background(), socketAddress(dir))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return ln, nil
}

// connect opens a connection to the node that runs on the data directory dir,
// or fails with ErrNotRunning.
func connect(ctx context.Context, dir string) (net.Conn, error) {
	conn, err := local.Network{}.Dial(ctx, socketAddress(dir))
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, kith.Refused): // no socket, or nobody behind it
		return nil, fmt.Errorf("%w on %s", ErrNotRunning, dir)
	}
	return nil, fmt.Errorf("control socket: %w", err)
}
