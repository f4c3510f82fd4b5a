package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

func joinCommand() command {
	var u upFlags
	return command{
		name: "join", args: "TICKET", summary: "join a group with a ticket from kith invite", group: groupNode,
		help: `Joins the group that the ticket invites to, and stays up as kith up does. Where
kith runs already, that node joins, with its key, accounts and sites, and the command
returns once it is admitted. A ticket that is used up, expired or damaged changes nothing.`,
		flags: u.define,
		run: func(ctx context.Context, e *env, words []string) error {
			client, err := e.client(ctx)
			if errors.Is(err, control.ErrNotRunning) {
				u.Ticket = words[0]
				return e.joinRemedy(e.up(ctx, &u))
			} else if err != nil {
				return err
			}
			defer client.Close()
			switch {
			case u.asksAtStart():
				return remedied{usageError("kith runs already, and changes its ports and times only when it starts"),
					"Join without these flags, or stop it first: " + e.Line("stop")}
			case u.Name != "":
				return remedied{usageError("kith runs already, and keeps its name while it joins"),
					"Join without --name, then: " + e.Line("rename", u.Name)}
			}
			if err := u.configure(ctx, client); err != nil {
				return err
			}
			return e.joinRemedy(e.joinRunning(ctx, client, words[0]))
		},
	}
}

func (e *env) joinRunning(ctx context.Context, n control.Node, ticket string) error {
	if err := n.Join(ctx, ticket); err != nil {
		return err
	}
	status, err := n.Status(ctx)
	if err != nil {
		return err
	}
	return e.Print(status, fmt.Sprintf("Joined: this is %s, in the group %s.\n%s", status.Host, status.Group, e.nameNote(status)))
}

// nameNote says that the name of this host was taken in the group that it
// joined, where it was: the node then adds its short ID.
func (e *env) nameNote(status control.Status) string {
	wanted, changed := strings.CutSuffix(status.Host, "-"+status.ID.Short())
	if !changed {
		return ""
	}
	return fmt.Sprintf("The name %s was taken in %s, so this is %s. To choose another: %s\n",
		wanted, status.Group, status.Host, e.Line("rename", "NAME"))
}

// joinRemedy says what helps against a ticket that does not work.
func (e *env) joinRemedy(err error) error {
	switch {
	case errors.Is(err, kith.Expired), errors.Is(err, kith.Quota), errors.Is(err, kith.Denied), errors.Is(err, kith.NotMember):
		return remedied{err, "Ask for a new ticket: " + "kith invite, on a computer of the group"}
	case errors.Is(err, kith.Unreachable):
		return remedied{err, "The computer that invited, or another admin's, must be on and reachable from here"}
	}
	return err
}
