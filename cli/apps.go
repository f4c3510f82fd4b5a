package cli

import (
	"context"
	"os"

	"kith.alt/kith"
)

// appCommand makes a verb of a command that an application brings. It runs in
// this process and speaks only to the application's API.
func appCommand(app *kith.App, c kith.Command) command {
	return command{
		name: c.Name, args: c.Args, summary: c.Summary, help: c.Help, group: app.Title,
		app: app, foreign: &c,
		run: func(ctx context.Context, e *env, args []string) error {
			client, err := e.client(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			return c.Run(ctx, kith.Env{
				API: func(ctx context.Context, method, path string, in, out any) error {
					return client.API(ctx, app.Name, method, path, in, out)
				},
				Stdin: e.stdin, Stdout: e.stdout, Stderr: e.stderr,
				Dir: dir, JSON: e.json, Kith: e.kith,
			}, args)
		},
	}
}
