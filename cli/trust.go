package cli

import (
	"context"
	"fmt"

	"kith.alt/kith/control"
)

func trustCommand() command {
	return command{
		name: "trust", args: "HOST", summary: "let a name mean another computer than before", group: groupMembers,
		help: `A name that was used here is held to the key it meant then. Where the group has
since given it to another computer, say a replaced one, kith asks before your programs
talk to that: this confirms it.`,
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if err := node.Trust(ctx, words[0]); err != nil {
				return err
			}
			return e.Print(struct {
				Trusted string `json:"trusted"`
			}{words[0]}, fmt.Sprintf("%s means the computer that has this name now.\n", words[0]))
		},
	}
}
