package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith/control"
)

func membersCommand() command {
	return command{
		name: "members", summary: "list the computers of the group, and how each is reached", group: groupMembers,
		help: `Shows each host's state (awake, asleep, revoked), the path to it (lan, direct,
relayed with the member that relays) and the round-trip time. An asterisk marks admins.`,
		ask: func(ctx context.Context, e *env, node *control.Client, _ []string) error {
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			return e.Print(status.Members, membersTable(status.Members, time.Now()))
		},
	}
}

func membersTable(members []control.Member, now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSTATE\tPATH\tROUND TRIP\tSITE")
	for _, m := range members {
		host := m.Host
		if m.Admin {
			host += "*"
		}
		path := m.Path
		if m.Via != "" {
			path += " via " + m.Via
		}
		if m.Carrier != "" {
			path += " (" + m.Carrier + ")"
		}
		var trip string
		switch {
		case m.RTT >= 0.1:
			trip = fmt.Sprintf("%.1f ms", m.RTT)
		case m.RTT > 0:
			trip = "< 0.1 ms"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", host, stateText(m, now), path, trip, m.Site)
	}
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}

// stateText is a member's state in words.
func stateText(m control.Member, now time.Time) string {
	switch {
	case m.State == control.Online:
		return "awake"
	case m.State == control.Offline && m.LastSeen.IsZero():
		return "asleep"
	case m.State == control.Offline:
		return "asleep for " + ago(now.Sub(m.LastSeen))
	}
	return m.State
}

// ago rounds a time to what people say.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return "a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
