package ip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"kith.alt/kith"
)

// A Network is TCP over IP. The zero value is ready. It is a [kith.Network];
// hosts are IP addresses or names that the system resolves.
type Network struct{}

// Dial opens a TCP connection.
func (Network) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, explain(ctx, err))
	}
	return conn, nil
}

// Listen takes a TCP port.
func (Network) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, explain(ctx, err))
	}
	return l, nil
}

// explain gives err the kind that its cause has.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) { // just before ctx tells
		return context.DeadlineExceeded
	}
	cause := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		cause = op.Err // without the addresses, which the caller names
	}
	if kind := kindOf(err); kind != "" {
		return fmt.Errorf("%w (%w)", kind, cause)
	}
	return cause
}

func kindOf(err error) kith.Kind {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return kinds[errno]
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return kith.NotFound
		}
		return kith.Temporary
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return kith.Invalid
	}
	return ""
}
