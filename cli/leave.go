package cli

import (
	"context"
	"flag"
	"fmt"

	"kith.alt/kith/control"
)

func leaveCommand() command {
	var yes bool
	return command{
		name: "leave", summary: "leave the group", group: groupMembers,
		help: `Afterwards this computer is a group of one again, with its key, accounts and
sites. The last admin cannot leave before naming another: kith admin add HOST.`,
		flags: func(set *flag.FlagSet) { set.BoolVar(&yes, "yes", false, "do not ask") },
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			if !yes && !e.confirm("Leave the group %s? You come back only by a new invitation.", status.Group) {
				return errSilent
			}
			if err := node.Leave(ctx); err != nil {
				return err
			}
			return e.Print(struct {
				Left string `json:"left"`
			}{status.Group}, fmt.Sprintf("%s has left the group %s.\n", status.Host, status.Group))
		},
	}
}
