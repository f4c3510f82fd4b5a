package cli

import (
	"context"
	"flag"
	"fmt"

	"kith.alt/kith/control"
)

func renameCommand() command {
	var request control.RenameRequest
	return command{
		name: "rename", args: "[HOST]", summary: "give this computer, or the group, another name", group: groupMembers,
		help: `Renames this host to HOST, and with --group the group. The former full name still
reaches the host. Only admins may rename the group.

Example: kith rename cedar`,
		flags: func(set *flag.FlagSet) {
			set.StringVar(&request.Host, "name", "", "the same as HOST, as `NAME`")
			set.StringVar(&request.Group, "group", "", "the group's new `NAME`")
		},
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if len(words) == 1 {
				if request.Host != "" && request.Host != words[0] {
					return usageError("two names for this host: %s and %s", words[0], request.Host)
				}
				request.Host = words[0]
			}
			if request == (control.RenameRequest{}) {
				return usageError("rename needs HOST, or --group NAME")
			}
			if err := node.Rename(ctx, request); err != nil {
				return err
			}
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			return e.Print(status, fmt.Sprintf("This is %s now.\n", status.Name))
		},
	}
}
