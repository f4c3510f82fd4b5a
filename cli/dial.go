package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func dialCommand() command {
	return command{
		name: "dial", args: "HOST PORT", summary: "connect standard input and output to a port of a member", group: groupUse,
		help: `Ends when the far side has ended. The end of standard input is passed on.

Example: ssh -p 2222 -o ProxyCommand='kith dial %h %p' ada@maple   (on maple: kith expose 22 --to 2222)`,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			port, err := strconv.ParseUint(words[1], 10, 16)
			if err != nil || port == 0 {
				return fmt.Errorf("port %q is not from 1 to 65535: %w", words[1], kith.Invalid)
			}
			conn, err := node.Dial(ctx, kith.Address{Host: words[0], Port: uint16(port)})
			if err != nil {
				return err
			}
			return join(ctx, conn, e.Stdin, e.Stdout)
		},
	}
}

// join carries in to conn and conn to out until conn has ended, and closes it.
// A read of in that waits then is left behind: it ends with the process.
func join(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() {
		if _, err := io.Copy(conn, in); err == nil {
			kith.CloseWrite(conn)
		}
	}()
	_, err := io.Copy(out, conn)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
