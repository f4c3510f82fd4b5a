package cli

import (
	"context"
	"fmt"

	"kith.alt/kith/control"
)

// adminCommand is "admin add" or "admin remove".
func adminCommand(verb string) command {
	admin := verb == "add"
	summary, told := "make a computer an admin, which admits and revokes", "%s is an admin.\n"
	if !admin {
		summary, told = "make an admin an ordinary member", "%s is no longer an admin.\n"
	}
	return command{
		name: "admin " + verb, args: "HOST", summary: summary, group: groupMembers,
		help: "Only admins may. Keep two at least, so that no single computer is needed.",
		ask: func(ctx context.Context, e *env, node *control.Client, words []string) error {
			if err := node.SetAdmin(ctx, words[0], admin); err != nil {
				return err
			}
			return e.Print(struct {
				Host  string `json:"host"`
				Admin bool   `json:"admin"`
			}{words[0], admin}, fmt.Sprintf(told, words[0]))
		},
	}
}
