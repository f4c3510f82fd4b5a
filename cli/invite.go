package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/terminal"
)

func inviteCommand() command {
	var request control.InviteRequest
	var settings control.Settings
	return command{
		name: "invite", summary: "print a ticket with which another computer joins", group: groupMembers,
		help: `Prints the ticket alone on standard output, and its QR code beside it on a terminal.
Who has the ticket can join: send it by a way that only the invited person reads.
Where this computer is not known to be reachable from other networks, it says so on
standard error, and what helps. What --public and --introduce say is remembered.

Example: kith invite --uses 5 --expires 2h`,
		flags: func(set *flag.FlagSet) {
			set.IntVar(&request.Uses, "uses", 1, "how many computers may join with it, `N`")
			set.DurationVar(&request.Expires, "expires", 24*time.Hour, "how long it is valid, a `TIME` such as 30m or 24h")
			set.StringVar(&request.Role, "role", "admin", "`ROLE` of who joins: admin, who may invite and revoke too, or member")
			reachFlags(set, &settings)
		},
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			switch {
			case request.Uses < 1:
				return fmt.Errorf("--uses %d: at least one computer must be able to join: %w", request.Uses, kith.Invalid)
			case request.Expires <= 0:
				return fmt.Errorf("--expires %s lies in the past: %w", request.Expires, kith.Invalid)
			case request.Role != "admin" && request.Role != "member":
				return fmt.Errorf("--role %s: the roles are admin and member: %w", request.Role, kith.Invalid)
			}
			if settings != (control.Settings{}) {
				if err := node.Configure(ctx, settings); err != nil {
					return err
				}
			}
			invitation, err := node.Invite(ctx, request)
			if err != nil {
				return err
			}
			if terminal.Is(e.Stderr) {
				becomes := ", which becomes an admin (--role member: it does not)"
				if invitation.Role != "admin" {
					becomes = ""
				} else if invitation.Uses > 1 {
					becomes = ", which become admins (--role member: they do not)"
				}
				e.Tell("On the other computer: kith join, followed by this ticket. It serves until %s, for %s%s.\n",
					invitation.Expires.Local().Format("Monday 15:04"), count(invitation.Uses, "computer"), becomes)
				if err := terminal.QR(e.Stderr, invitation.Ticket); err != nil {
					return err
				}
			}
			if err := e.Print(invitation, invitation.Ticket+"\n"); err != nil {
				return err
			}
			if note := e.inviteNote(invitation); note != "" {
				e.Tell("\n%s", strings.TrimSuffix(note, "\n"))
			}
			return nil
		},
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
