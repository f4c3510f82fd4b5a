package cli

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"strings"

	"kith.alt/kith/control"
	"kith.alt/kith/terminal"
)

func relayCommand() command {
	var on, off bool
	var change control.RelayLimits
	return command{
		name: "relay", summary: "show, or limit, what this computer passes on between other members", group: groupNode,
		help: `Members that cannot reach each other do so through one that both reach. The relay
passes on sealed bytes, and keeps to its limits, which hold over restarts.

Example: kith relay --rate 2MB/s --daily 10GB --streams 64`,
		flags: func(set *flag.FlagSet) {
			set.BoolVar(&off, "off", false, "relay nothing for others")
			set.BoolVar(&on, "on", false, "relay again")
			set.Func("rate", "at most so many bytes a second, `SIZE`, both directions together", func(text string) (err error) {
				change.BytesPerSecond, err = parseSize(strings.TrimSuffix(text, "/s"))
				return err
			})
			set.Func("daily", "at most so many bytes a day (UTC), `SIZE`", func(text string) (err error) {
				change.BytesPerDay, err = parseSize(text)
				return err
			})
			set.IntVar(&change.Streams, "streams", 0, "at most `N` connections at once")
		},
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			switch {
			case on && off:
				return usageError("relay takes --on or --off, not both")
			case change.Streams < 0:
				return usageError("--streams %d: at least one; to relay nothing: --off", change.Streams)
			}
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			if on || off || change != (control.RelayLimits{}) {
				limits := status.Relaying.Limits
				limits.Off = off || limits.Off && !on
				limits.BytesPerSecond = cmp.Or(change.BytesPerSecond, limits.BytesPerSecond)
				limits.BytesPerDay = cmp.Or(change.BytesPerDay, limits.BytesPerDay)
				limits.Streams = cmp.Or(change.Streams, limits.Streams)
				if err := node.Configure(ctx, control.Settings{Relay: &limits}); err != nil {
					return err
				}
				if status, err = node.Status(ctx); err != nil {
					return err
				}
			}
			return e.Print(status.Relaying, e.relayText(status.Relaying))
		},
	}
}

func (e *env) relayText(r control.Relaying) string {
	today := fmt.Sprintf("Today   %s relayed", terminal.Size(r.Today))
	if r.Limits.Off {
		return fmt.Sprintf("This computer relays nothing for other members. To let it: %s\n%s\n", e.Line("relay", "--on"), today)
	}
	return fmt.Sprintf("This computer relays for other members, within these limits:\n\nRate    %s/s\nDaily   %s\nAt once %s\n\n%s, %s now\n",
		terminal.Size(r.Limits.BytesPerSecond), terminal.Size(r.Limits.BytesPerDay), count(r.Limits.Streams, "connection"), today, count(r.Streams, "connection"))
}
