package cli

import (
	"context"
	"os"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

// appCommand makes a verb of a command that an application brings. It runs in
// this process and speaks only to the application's API.
func appCommand(app kith.App, c kith.Command) command {
	return command{
		name: c.Name, args: c.Args, summary: c.Summary, help: c.Help, group: app.Title, flags: c.Flags,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			own := e.Env
			own.Dir = dir
			own.API = func(ctx context.Context, method, path string, in, out any) error {
				return node.API(ctx, app.Name, method, path, in, out)
			}
			return c.Run(ctx, own, words)
		},
	}
}
