package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"runtime"

	"kith.alt/kith"
	"kith.alt/kith/cli/service"
)

// serviceCommand is "service install", "service remove" or "service status".
func serviceCommand(verb string) command {
	var dryRun bool
	c := command{name: "service " + verb, group: groupMore}
	plan := service.Status
	switch verb {
	case "install":
		plan = service.Install
		c.summary = "start kith when you log in, from now on"
		c.help = `Shows what it writes and runs, then does it: a systemd user unit, a launchd agent
or a Windows logon task. It needs no root. With --data the service runs that node.`
	case "remove":
		plan = service.Remove
		c.summary = "undo service install, and stop the service"
		c.help = "Shows what it runs and deletes, then does it. The node's data stays."
	case "status":
		c.summary = "ask the system whether the service runs"
	}
	if verb != "status" {
		c.flags = func(set *flag.FlagSet) {
			set.BoolVar(&dryRun, "dry-run", false, "only show what would be done")
		}
	}
	c.run = func(ctx context.Context, e *env, _ []string) error {
		config, err := e.serviceConfig()
		if err != nil {
			return err
		}
		if verb != "install" && !dryRun && !service.Installed(config) {
			return remedied{fmt.Errorf("the service is not installed: %w", kith.NotFound), "To install it: " + e.Line("service", "install")}
		}
		p, err := plan(config)
		if err != nil {
			return err
		}
		if verb == "status" {
			return p.Carry(ctx, e.Stdout)
		}
		if verb == "install" && isGoRun(config.Executable) && !dryRun {
			return remedied{fmt.Errorf("this kith was made by go run and is gone afterwards: %w", kith.Invalid),
				"First: go install ./cmd/kith; then: kith service install"}
		}
		if err := e.Print(p, p.String()); err != nil || dryRun {
			return err
		}
		var out io.Writer = e.Stdout
		if e.JSON {
			out = e.Stderr
		}
		if err := p.Carry(ctx, out); err != nil {
			return err
		}
		if p.Note != "" {
			e.Tell("%s", p.Note)
		}
		return nil
	}
	return c
}

func (e *env) serviceConfig() (service.Config, error) {
	executable, err := os.Executable()
	if err != nil {
		return service.Config{}, fmt.Errorf("where is this program: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return service.Config{}, err
	}
	c := service.Config{
		GOOS: runtime.GOOS, Executable: executable, Args: []string{"up", "--quiet", "--data", e.data},
		Home: home, ConfigHome: os.Getenv("XDG_CONFIG_HOME"), Temp: os.TempDir(), UID: os.Getuid(),
	}
	if u, err := user.Current(); err == nil {
		c.User = u.Username
	}
	return c, nil
}
