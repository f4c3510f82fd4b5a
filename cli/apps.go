package cli

import (
	"context"
	"os"

	"kith.alt/kith"
)

// appCommand makes a verb of a command that an application brings. It runs in
// this process and speaks only to the application's API.
func appCommand(app kith.App, c kith.Command) command {
	return command{
		name: c.Name, args: c.Args, summary: c.Summary, help: c.Help, group: app.Title, flags: c.Flags,
		run: func(ctx context.Context, e *env, words []string) error {
			client, err := e.client(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			own := e.Env
			if own.Dir, err = os.Getwd(); err != nil {
				return err
			}
			own.API = func(ctx context.Context, method, path string, in, out any) error {
				return client.API(ctx, app.Name, method, path, in, out)
			}
			return c.Run(ctx, own, words)
		},
	}
}
