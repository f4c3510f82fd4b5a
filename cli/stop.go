package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func stopCommand() command {
	return command{
		name: "stop", summary: "stop the node", group: groupNode,
		help: "Returns once the node is gone. Where none runs there is nothing to do.",
		run: func(ctx context.Context, e *env, _ []string) error {
			client, err := e.client(ctx)
			if errors.Is(err, control.ErrNotRunning) {
				e.Tell("No node runs on %s.", e.data)
				return nil
			} else if err != nil {
				return err
			}
			defer client.Close()
			if err := client.Stop(ctx); err != nil {
				return err
			}
			for start := time.Now(); time.Since(start) < wait; {
				again, err := e.client(ctx)
				if errors.Is(err, control.ErrNotRunning) {
					return nil
				} else if err != nil {
					return err
				}
				again.Close()
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(pause):
				}
			}
			return fmt.Errorf("the node still runs %s after it was asked to stop: %w", wait, kith.Temporary)
		},
	}
}
