package cli

import (
	"context"
	"flag"
	"fmt"

	"kith.alt/kith/control"
)

func revokeCommand() command {
	var yes bool
	return command{
		name: "revoke", args: "HOST", summary: "take a computer out of the group", group: groupMembers,
		help: `Ends the host's connections and membership on every member, at once where they
can be reached. It comes back only by a new invitation. Only admins may.`,
		flags: func(set *flag.FlagSet) { set.BoolVar(&yes, "yes", false, "do not ask") },
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if !yes && !e.confirm("Revoke %s? It comes back only by a new invitation.", words[0]) {
				return errSilent
			}
			if err := node.Revoke(ctx, words[0]); err != nil {
				return err
			}
			return e.Print(struct {
				Revoked string `json:"revoked"`
			}{words[0]}, fmt.Sprintf("%s is no longer in the group.\n", words[0]))
		},
	}
}
